;; Imports an interface that nothing offers, and has no manifest.
(component
  (import "acme:weather/weather@1.0.0" (instance (export "current" (func (param "city" string) (result string)))))
  (core module $module (func (export "now") (result i32) (i32.const 7)))
  (core instance $instance (instantiate $module))
  (func $now (result u32) (canon lift (core func $instance "now")))
  (instance $clock (export "now" (func $now)))
  (export "acme:clock/clock@1.0.0" (instance $clock)))
