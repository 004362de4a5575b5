;; Calls itself through the host so many times, and waits in the innermost call for a fifth of a second.
(component
  (import "hostile:nest/api@0.1.0" (instance $next (export "go" (func (param "depth" u32)))))
  (import "wasi:io/poll@0.2.6" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $next (canon lower (func $next "go")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core module $m
    (import "host" "next" (func $next (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (import "host" "block" (func $block (param i32)))
    (func (export "go") (param $depth i32)
      (if (local.get $depth)
        (then (call $next (i32.sub (local.get $depth) (i32.const 1))))
        (else (call $block (call $subscribe (i64.const 200000000)))))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "next" (func $next)) (export "subscribe" (func $subscribe)) (export "block" (func $block))))))
  (func $go (param "depth" u32) (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:nest/api@0.1.0" (instance $api)))
