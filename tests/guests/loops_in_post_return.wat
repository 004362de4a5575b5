;; It answers, and never returns from cleaning up after its answer.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "go") (result i32) (i32.const 8))
    (func (export "post") (param i32) (loop (br 0))))
  (core instance $i (instantiate $m))
  (func $go (result string) (canon lift (core func $i "go") (memory (core memory $i "memory")) (post-return (core func $i "post"))))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
