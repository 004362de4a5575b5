;; Fills 96 MiB again and again with single instructions that nothing can interrupt.
(component
  (core module $m
    (memory 1536)
    (func (export "go") (loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 100663296)) (br 0))))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
