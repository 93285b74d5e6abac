;; A provider of the split kind whose every answer is a text of its row. `chat_request` answers with
;; a prefix, the `api_key` of its config as it finds it in its input, and a suffix.
(module
  ;; @include tools.wat
  (data (i32.const 1024) "@schema@")
  (data (i32.const 20480) "@base_url@")
  (data (i32.const 20992) "@variable@")
  (data (i32.const 21504) "@prefix@")
  (data (i32.const 24576) "@suffix@")
  (data (i32.const 26624) "@reply@")
  (data (i32.const 50000) "\"api_key\":\"")
  (global $at (mut i32) (i32.const 51000))

  (func $put (param $byte i32)
    (i32.store8 (global.get $at) (local.get $byte))
    (global.set $at (i32.add (global.get $at) (i32.const 1))))

  (func $copy (param $p i32) (param $n i32) (local $i i32)
    (block $out (loop $l
      (br_if $out (i32.ge_u (local.get $i) (local.get $n)))
      (call $put (i32.load8_u (i32.add (local.get $p) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $l))))

  ;; a byte as decimal digits and a comma: a body is an array of numbers
  (func $digits (param $byte i32)
    (if (i32.ge_u (local.get $byte) (i32.const 100))
      (then (call $put (i32.add (i32.const 48) (i32.div_u (local.get $byte) (i32.const 100))))))
    (call $put (i32.add (i32.const 48)
      (i32.rem_u (i32.div_u (local.get $byte) (i32.const 10)) (i32.const 10))))
    (call $put (i32.add (i32.const 48) (i32.rem_u (local.get $byte) (i32.const 10))))
    (call $put (i32.const 44)))

  ;; whether the input has the 11 bytes of `"api_key":"` at i
  (func $marks (param $i i64) (result i32) (local $k i32)
    (loop $l
      (if (i32.ne
            (call $input_load_u8 (i64.add (local.get $i) (i64.extend_i32_u (local.get $k))))
            (i32.load8_u (i32.add (i32.const 50000) (local.get $k))))
        (then (return (i32.const 0))))
      (local.set $k (i32.add (local.get $k) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $k) (i32.const 11))))
    (i32.const 1))

  (func $key (param $numbers i32) (local $i i64) (local $byte i32)
    (block $none (loop $l
      (br_if $none (i64.ge_u (local.get $i) (call $input_length)))
      (if (call $marks (local.get $i))
        (then
          (local.set $i (i64.add (local.get $i) (i64.const 11)))
          (loop $c
            (local.set $byte (call $input_load_u8 (local.get $i)))
            (if (i32.or (i32.eqz (local.get $byte)) (i32.eq (local.get $byte) (i32.const 34)))
              (then (return)))
            (if (local.get $numbers)
              (then (call $digits (local.get $byte)))
              (else (call $put (local.get $byte))))
            (local.set $i (i64.add (local.get $i) (i64.const 1)))
            (br $c))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $l))))

  (func $request (result i32)
    (global.set $at (i32.const 51000))
    (call $copy (i32.const 21504) (i32.const @prefix.size@))
    (call $key (i32.const @numbers@))
    (call $copy (i32.const 24576) (i32.const @suffix.size@))
    (call $say (i32.const 51000) (i32.sub (global.get $at) (i32.const 51000)))
    (i32.const 0))
  (func $answer (result i32)
    (call $say (i32.const 26624) (i32.const @reply.size@))
    (i32.const 0))

  (func (export "config_schema") (result i32)
    (call $say (i32.const 1024) (i32.const @schema.size@)) (i32.const 0))
  (func (export "base_url") (result i32)
    (call $say (i32.const 20480) (i32.const @base_url.size@)) (i32.const 0))
  (func (export "api_key_name") (result i32)
    (call $say (i32.const 20992) (i32.const @variable.size@)) (i32.const 0))
  (func (export "from_config") (result i32)
    (call $output_set (call $input) (call $input_length)) (i32.const 0))
  (func (export "chat_request") (result i32) (call $request))
  (func (export "chat_stream_request") (result i32) (call $request))
  (func (export "list_models_request") (result i32) (call $request))
  (func (export "parse_chat_response") (result i32) (call $answer))
  (func (export "parse_list_models_response") (result i32) (call $answer)))
