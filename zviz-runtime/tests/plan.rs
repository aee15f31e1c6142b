//! Plans of whole configs, as values.

use zviz_runtime::{Host, Plan, Profile, spec};

fn host() -> Host {
    Host::probe().expect("a Linux machine")
}

#[test]
fn the_default_spec_of_runc() {
    let text = include_bytes!("plans/runc-default/config.json");
    let spec = spec::parse(text, "/bundle").expect("a config");
    let plan = Plan::build(&spec, &Profile::none(), &host(), "c1").expect("a plan");
    println!("{plan:#?}");
}
