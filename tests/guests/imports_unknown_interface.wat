;; Imports an interface that nothing offers, and says so in its manifest.
(component
  (@custom "loong.plugin.json" "{\"id\":\"local:clock\",\"version\":\"0.1.0\",\"kind\":\"tool\",\"summary\":\"Asks for the weather\",\"tags\":[],\"source_language\":\"wat\",\"licence\":\"Apache-2.0\",\"capabilities\":{\"tools\":{\"reason\":\"the weather\",\"operations\":[\"acme:weather/weather#current\"]}},\"operations\":[{\"name\":\"local:clock/clock@0.1.0#now\",\"risk\":\"read\"}]}")
  (import "acme:weather/weather@1.0.0" (instance (export "current" (func (param "city" string) (result string)))))
  (core module $module (func (export "now") (result i32) (i32.const 7)))
  (core instance $instance (instantiate $module))
  (func $now (result u32) (canon lift (core func $instance "now")))
  (instance $clock (export "now" (func $now)))
  (export "local:clock/clock@0.1.0" (instance $clock)))
