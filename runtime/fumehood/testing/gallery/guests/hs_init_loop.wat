;; Loops in `hs_init`, Haskell's initialiser, which takes two arguments.
(module
  (func (export "hs_init") (param i32 i32) (loop $l (br $l)))
  (func (export "run") (result i32) (i32.const 0)))
