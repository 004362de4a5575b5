;; Hands `process.run` on, so that a test chooses what is asked of the host.
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
  (import "loong:host/process@0.1.0" (instance $process
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
    (type $request' (record
      (field "command" string) (field "arguments" (list string)) (field "folder" (option string))
      (field "stdin" (option (list u8))) (field "output-bytes-max" (option u64)) (field "deadline-ms" (option u32))))
    (export "request" (type $request (eq $request')))
    (type $status' (variant (case "exited" u32) (case "signalled" u32)))
    (export "status" (type $status (eq $status')))
    (type $output' (record
      (field "status" $status) (field "stdout" (list u8)) (field "stderr" (list u8))
      (field "stdout-truncated" bool) (field "stderr-truncated" bool)))
    (export "output" (type $output (eq $output')))
    (export "run" (func (param "request" $request) (result (result $output (error $error)))))))
  (alias export $process "error" (type $process-error))
  (alias export $process "request" (type $process-request))
  (alias export $process "output" (type $process-output))
  (core func $process-run (canon lower (func $process "run") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m
    (import "host" "process-run" (func $process-run (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32 i32)))
    (func (export "process-run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i32 i32) (result i32)
      (call $process-run (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5) (local.get 6) (local.get 7) (local.get 8) (local.get 9) (local.get 10) (local.get 11) (local.get 12) (local.get 13) (i32.const 16))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "host" (instance
    (export "process-run" (func $process-run))))))
  (func $process-run-api (param "request" $process-request) (result (result $process-output (error $process-error)))
    (canon lift (core func $i "process-run") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $api
    (export "process-run" (func $process-run-api)))
  (export "passes:process/api@0.1.0" (instance $api)))
