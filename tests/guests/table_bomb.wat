;; Grows its table until it is stopped.
(component
  (core module $m
    (table 1 funcref)
    (func (export "go") (loop (drop (table.grow (ref.null func) (i32.const 1000))) (br 0))))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
