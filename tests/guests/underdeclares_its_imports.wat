;; Imports `loong:host/log`, and its manifest does not say so.
(component
  (@custom "loong.plugin.json" "{\"id\":\"local:quiet\",\"version\":\"0.1.0\",\"kind\":\"tool\",\"summary\":\"Says that it asks for nothing\",\"tags\":[],\"source_language\":\"wat\",\"licence\":\"Apache-2.0\",\"capabilities\":{},\"operations\":[{\"name\":\"local:quiet/quiet@0.1.0#now\",\"risk\":\"read\"}]}")
  (import "loong:host/log@0.1.0" (instance
    (type $level' (enum "trace" "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level')))
    (export "write" (func (param "level" $level) (param "message" string)))))
  (core module $module (func (export "now") (result i32) (i32.const 7)))
  (core instance $instance (instantiate $module))
  (func $now (result u32) (canon lift (core func $instance "now")))
  (instance $quiet (export "now" (func $now)))
  (export "local:quiet/quiet@0.1.0" (instance $quiet)))
