;; The start function of its core module never returns, so it is never instantiated.
(component
  (core module $m
    (func $start (loop (br 0)))
    (start $start)
    (func (export "go")))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
