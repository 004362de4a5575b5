;; Ends itself with success in the middle of a call that owes a result.
(component
  (import "wasi:cli/exit@0.2.6" (instance $cli (export "exit" (func (param "status" (result))))))
  (core func $exit (canon lower (func $cli "exit")))
  (core module $m
    (import "host" "exit" (func $exit (param i32)))
    (func (export "add") (param i32 i32) (result i32) (call $exit (i32.const 0)) (unreachable)))
  (core instance $i (instantiate $m (with "host" (instance (export "exit" (func $exit))))))
  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (instance $api (export "add" (func $add)))
  (export "good:math/api@0.1.0" (instance $api)))
