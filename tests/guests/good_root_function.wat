;; A component nobody wrote for Loong: it exports a function by itself, in no interface.
(component
  (core module $m (func (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2))))
  (core instance $i (instantiate $m))
  (func $double (param "number" u32) (result u32) (canon lift (core func $i "double")))
  (export "double" (func $double)))
