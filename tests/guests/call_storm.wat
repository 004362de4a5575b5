;; Calls another component without end.
(component
  (import "good:math/api@0.1.0" (instance $math (export "add" (func (param "a" u32) (param "b" u32) (result u32)))))
  (core func $add (canon lower (func $math "add")))
  (core module $m
    (import "math" "add" (func $add (param i32 i32) (result i32)))
    (func (export "go") (loop (drop (call $add (i32.const 1) (i32.const 2))) (br 0))))
  (core instance $i (instantiate $m (with "math" (instance (export "add" (func $add))))))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
