;; A core module, as compilers that do not know the component model make.
(module (func (export "run")))
