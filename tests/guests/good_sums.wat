;; Adds three numbers with two typed calls to whoever offers `good:math/api`.
(component
  (import "good:math/api@0.1.0" (instance $math (export "add" (func (param "a" u32) (param "b" u32) (result u32)))))
  (core func $add (canon lower (func $math "add")))
  (core module $m
    (import "math" "add" (func $add (param i32 i32) (result i32)))
    (func (export "sum") (param i32 i32 i32) (result i32)
      (call $add (call $add (local.get 0) (local.get 1)) (local.get 2))))
  (core instance $i (instantiate $m (with "math" (instance (export "add" (func $add))))))
  (func $sum (param "a" u32) (param "b" u32) (param "c" u32) (result u32) (canon lift (core func $i "sum")))
  (instance $api (export "sum" (func $sum)))
  (export "good:sums/api@0.1.0" (instance $api)))
