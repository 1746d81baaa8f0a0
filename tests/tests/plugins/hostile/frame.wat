;; A plugin whose director runs the instructions that a test puts in. It exports `lifecycle` and `director`, and
;; imports of `http` what it may misuse. No compiler would make some of these guests: a realloc
;; that never returns, handles that were never given out.
(component
  (import "sluicegate:plugin/http@0.1.0" (instance $http
    (export "request" (type $request (sub resource)))
    (export "response" (type $response (sub resource)))
    (export "[method]request.path" (func (param "self" (borrow $request)) (result string)))
    (export "[method]response.status" (func (param "self" (borrow $response)) (result u16)))
  ))
  (alias export $http "request" (type $request))

  ;; Exports `memory`, `realloc` for what the host hands in, and `result-realloc` for what its functions return.
  (core module $Memory
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $next)
      (global.set $next
        (i32.and (i32.add (i32.add (global.get $next) (local.get 3)) (i32.const 15)) (i32.const -8))))
    (func (export "result-realloc") (param i32 i32 i32 i32) (result i32)
      {result-realloc})
  )
  (core instance $memory (instantiate $Memory))

  (core func $path (canon lower (func $http "[method]request.path")
    (memory (core memory $memory "memory")) (realloc (core func $memory "result-realloc"))))
  (core func $status (canon lower (func $http "[method]response.status")))
  (core func $drop (canon resource.drop $request))

  (core module $Main
    (import "host" "path" (func $path (param i32 i32)))
    (import "host" "status" (func $status (param i32) (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (import "memory" "memory" (memory 0))
    ;; All zero is `ok` in `configure`, and `ok(forward)` in `direct`.
    (func (export "configure") (param i32 i32) (result i32)
      (i32.const 64))
    (func (export "direct") (param $request i32) (result i32)
      (local $i i32)
      {direct}
      (i32.const 64))
  )
  (core instance $main (instantiate $Main
    (with "host" (instance
      (export "path" (func $path))
      (export "status" (func $status))
      (export "drop" (func $drop))))
    (with "memory" (instance $memory))))

  (func $configure (param "config" string) (result (result (error string)))
    (canon lift (core func $main "configure") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (instance $lifecycle (export "configure" (func $configure)))
  (export "sluicegate:plugin/lifecycle@0.1.0" (instance $lifecycle))

  (type $reply (record
    (field "status" u16) (field "headers" (list (tuple string (list u8)))) (field "body" (list u8))))
  (type $direction (variant (case "forward") (case "reply" $reply)))
  (func $direct (param "request" (borrow $request)) (result (result $direction (error string)))
    (canon lift (core func $main "direct") (memory (core memory $memory "memory"))))

  ;; An interface's types have to be exported together with its functions, which only a component can do.
  (component $Director
    (import "request" (type $request (sub resource)))
    (type $a-reply (record
      (field "status" u16) (field "headers" (list (tuple string (list u8)))) (field "body" (list u8))))
    (import "reply" (type $reply (eq $a-reply)))
    (type $a-direction (variant (case "forward") (case "reply" $reply)))
    (import "direction" (type $direction (eq $a-direction)))
    (import "direct" (func $direct
      (param "request" (borrow $request)) (result (result $direction (error string)))))
    (export $exported-request "request" (type $request))
    (export $exported-reply "reply" (type $reply))
    (type $the-direction (variant (case "forward") (case "reply" $exported-reply)))
    (export $exported-direction "direction" (type $direction) (type (eq $the-direction)))
    (export "direct" (func $direct) (func
      (param "request" (borrow $exported-request)) (result (result $exported-direction (error string)))))
  )
  (instance $director (instantiate $Director
    (with "request" (type $request))
    (with "reply" (type $reply))
    (with "direction" (type $direction))
    (with "direct" (func $direct))))
  (export "sluicegate:plugin/director@0.1.0" (instance $director))
)
