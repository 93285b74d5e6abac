;; Not an attack: the neighbour that runs beside each one. It answers with its input.
(module
  ;; @include tools.wat
  (func (export "run") (result i32)
    (call $output_set (call $input) (call $input_length))
    (i32.const 0)))
