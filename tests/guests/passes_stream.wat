;; Hands `stream.emit` on, so that a test chooses what is asked of the host.
(component
  (core module $libc
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (loop
        (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
          (then
            (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
            (br 1))))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (import "loong:host/stream@0.1.0" (instance $stream
    (type $denial' (record (field "code" string) (field "resource" string) (field "reason" string)))
    (export "denial" (type $denial (eq $denial')))
    (type $invalid' (record (field "field" string) (field "reason" string)))
    (export "invalid" (type $invalid (eq $invalid')))
    (type $limit' (record (field "name" string) (field "maximum" u64) (field "used" u64)))
    (export "limit" (type $limit (eq $limit')))
    (type $failure' (record (field "code" string) (field "message" string)))
    (export "failure" (type $failure (eq $failure')))
    (type $error' (variant
      (case "denied" $denial) (case "invalid" $invalid) (case "not-found" string) (case "limit" $limit)
      (case "deadline" u64) (case "unavailable" string) (case "failed" $failure)))
    (export "error" (type $error (eq $error')))
    (export "emit" (func (param "delta" string) (result (result (error $error)))))))
  (alias export $stream "error" (type $stream-error))
  (core func $stream-emit (canon lower (func $stream "emit") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "host" "stream-emit" (func $stream-emit (param i32 i32 i32)))
    (func (export "stream-emit") (param i32 i32) (result i32)
      (call $stream-emit (local.get 0) (local.get 1) (i32.const 16))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "host" (instance
    (export "stream-emit" (func $stream-emit))))))
  (func $stream-emit-api (param "delta" string) (result (result (error $stream-error)))
    (canon lift (core func $i "stream-emit") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $api
    (export "stream-emit" (func $stream-emit-api)))
  (export "passes:stream/api@0.1.0" (instance $api)))
