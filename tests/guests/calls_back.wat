;; Calls `calls_forth`, which calls it.
(component
  (import "hostile:forth/api@0.1.0" (instance $forth (export "go" (func))))
  (core func $forth (canon lower (func $forth "go")))
  (core module $m (import "forth" "go" (func $forth)) (func (export "go") (call $forth)))
  (core instance $i (instantiate $m (with "forth" (instance (export "go" (func $forth))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:back/api@0.1.0" (instance $api)))
