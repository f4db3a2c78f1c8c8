fn main() { sluice_compiler::run_child_if_asked(); }
