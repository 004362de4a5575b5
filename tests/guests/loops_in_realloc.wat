;; The host asks it for room for an argument, and waits.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop (br 0)) (unreachable))
    (func (export "go") (param i32 i32)))
  (core instance $i (instantiate $m))
  (func $go (param "text" string)
    (canon lift (core func $i "go") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
