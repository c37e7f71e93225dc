use super::Form;
use crate::report::Report;
use crate::stage::Base;

pub fn run(_base: &Base, _form: Form, _report: &mut Report) {}
