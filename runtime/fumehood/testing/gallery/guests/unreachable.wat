;; The commonest way to die: what a panic compiles to.
(module (func (export "run") (result i32) (unreachable)))
