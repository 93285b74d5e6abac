;; A provider that says that it reads MessagePack, answers chats itself, and lies in its answer.
(module
  ;; @include tools.wat
  (global (export "fumehood_msgpack") i32 (i32.const 0))
  (data (i32.const 1024) "@schema@")
  (data (i32.const 20480) "@reply@")
  (func (export "config_schema") (result i32)
    (call $say (i32.const 1024) (i32.const @schema.size@)) (i32.const 0))
  (func (export "chat") (result i32)
    (call $say (i32.const 20480) (i32.const @reply.size@)) (i32.const 0)))
