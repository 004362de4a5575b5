;; Imports `good:math/api` with other types than it has.
(component
  (import "good:math/api@0.1.0" (instance $math (export "add" (func (param "a" u64) (result u64)))))
  (core func $add (canon lower (func $math "add")))
  (core module $m
    (import "math" "add" (func $add (param i64) (result i64)))
    (func (export "go") (drop (call $add (i64.const 1)))))
  (core instance $i (instantiate $m (with "math" (instance (export "add" (func $add))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
