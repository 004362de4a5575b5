;; An exported function that never returns.
(component
  (core module $m (func (export "go") (loop (br 0))))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:guest/api@0.1.0" (instance $api)))
