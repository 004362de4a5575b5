;; Hands the text it gets to the other component, and gives back what comes back.
(component
  (import "bench:echo/echo@1.0.0" (instance $e (export "echo" (func (param "text" string) (result string)))))
  (core module $libc
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (global.get $next) (local.get 3)))
      (local.get $at)))
  (core instance $l (instantiate $libc))
  (core func $echo (canon lower (func $e "echo") (memory (core memory $l "memory")) (realloc (core func $l "realloc"))))
  (core module $m
    (import "e" "echo" (func $echo (param i32 i32 i32)))
    (func (export "pass") (param i32 i32) (result i32)
      (call $echo (local.get 0) (local.get 1) (i32.const 0))
      (i32.const 0)))
  (core instance $i (instantiate $m (with "e" (instance (export "echo" (func $echo))))))
  (func $pass (param "text" string) (result string)
    (canon lift (core func $i "pass") (memory (core memory $l "memory")) (realloc (core func $l "realloc"))))
  (instance $p (export "pass" (func $pass)))
  (export "bench:pack/pack@1.0.0" (instance $p)))
