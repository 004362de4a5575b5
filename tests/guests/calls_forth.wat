;; Calls `calls_back`, which calls it.
(component
  (import "hostile:back/api@0.1.0" (instance $back (export "go" (func))))
  (core func $back (canon lower (func $back "go")))
  (core module $m (import "back" "go" (func $back)) (func (export "go") (call $back)))
  (core instance $i (instantiate $m (with "back" (instance (export "go" (func $back))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:forth/api@0.1.0" (instance $api)))
