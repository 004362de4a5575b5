;; Calls a function of its own from the outside while it runs, and the host while the host is handing it an argument.
(component
  (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
  (alias export $random "get-random-u64" (func $number))
  (core func $number (canon lower (func $number)))
  (core module $inner (func (export "inner")))
  (core instance $inner (instantiate $inner))
  (func $inner (canon lift (core func $inner "inner")))
  (core func $again (canon lower (func $inner)))
  (core module $m
    (import "" "again" (func $again))
    (import "" "number" (func $number (result i64)))
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (drop (call $number)) (i32.const 64))
    (func (export "again") (call $again))
    (func (export "leaves") (param i32 i32))
    (func (export "go"))
    (func (export "leaves-late") (drop (call $number))))
  (core instance $i (instantiate $m (with "" (instance
    (export "again" (func $again)) (export "number" (func $number))))))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func $go-again (canon lift (core func $i "again")))
  (func $leaves (param "text" string) (canon lift (core func $i "leaves") (memory $memory) (realloc $realloc)))
  (func $leaves-late (canon lift (core func $i "go") (post-return (core func $i "leaves-late"))))
  (instance $api
    (export "again" (func $go-again)) (export "leaves" (func $leaves)) (export "leaves-late" (func $leaves-late)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
