;; Makes handles of a resource of its own. They lie in the host's memory, not in its own.
(component
  (type $r (resource (rep i32)))
  (core func $new (canon resource.new $r))
  (core module $m
    (import "r" "new" (func $new (param i32) (result i32)))
    (func (export "go") (loop (drop (call $new (i32.const 1))) (br 0))))
  (core instance $i (instantiate $m (with "r" (instance (export "new" (func $new))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
