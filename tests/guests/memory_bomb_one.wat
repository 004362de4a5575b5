;; Grows its one memory until it is stopped.
(component
  (core module $m
    (memory 1)
    (func (export "go") (loop (drop (memory.grow (i32.const 16))) (br 0))))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
