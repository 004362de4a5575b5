;; A component that knows nothing of Loong: no manifest, no imports, one interface of functions.
(component
  (core module $module
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      ;; every block begins at a multiple of 8
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    ;; the text as it came
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (local.get 0))
      (i32.store (i32.const 20) (local.get 1))
      (i32.const 16))
    (func (export "stop") unreachable))
  (core instance $instance (instantiate $module))
  (alias core export $instance "memory" (core memory $memory))
  (alias core export $instance "realloc" (core func $realloc))
  (func $add (param "left" u32) (param "right" u32) (result u32) (canon lift (core func $instance "add")))
  (func $echo (param "text" string) (result string)
    (canon lift (core func $instance "echo") (memory $memory) (realloc $realloc)))
  (func $stop (canon lift (core func $instance "stop")))
  (instance $sums (export "add" (func $add)) (export "echo" (func $echo)) (export "stop" (func $stop)))
  (export "stranger:sums/sums@1.0.0" (instance $sums)))
