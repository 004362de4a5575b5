;; Calls itself until its stack is used up.
(component
  (core module $m (func $go (export "go") (call $go)))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
