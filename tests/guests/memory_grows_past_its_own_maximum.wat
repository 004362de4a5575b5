;; Asks a hundred times for more memory than its own type allows. That fails, costs nothing, and it goes on.
(component
  (core module $m
    (memory 1 2)
    (func (export "go") (result i32) (local $n i32)
      (loop
        (if (i32.ne (memory.grow (i32.const 100)) (i32.const -1)) (then (unreachable)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 100))))
      (local.get $n)))
  (core instance $i (instantiate $m))
  (func $go (result u32) (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
