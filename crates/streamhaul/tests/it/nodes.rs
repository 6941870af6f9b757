//! What an operator sees of nodes, and tells them.

use crate::instance::Instance;

#[test]
fn drains_lists_the_nodes_that_are_emptied_until_when_and_why() {
    let mut instance = Instance::new();
    instance.start();
    let shown = |arguments: &[&str]| {
        let output = instance.ask(arguments);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let none = shown(&["nodes", "drains"]);
    assert!(none.contains("no node is drained"), "{none}");
    let listed = instance.json(&["nodes", "list"]);
    let name = listed["nodes"][0]["name"].as_str().unwrap();

    let why = ["--deadline", "2h", "--reason", "maintenance at noon"];
    shown(&[&["nodes", "drain", name], &why[..]].concat());
    let drains = instance.json(&["nodes", "drains"]);
    let drain = &drains["nodes"][0];
    assert_eq!(drain["name"], name, "{drains}");
    assert_eq!(drain["intent_reason"], "maintenance at noon");
    let ends = drain["drain_deadline"].as_str().unwrap();
    let table = shown(&["nodes", "drains"]);
    for cell in ["ENDS", name, ends, "maintenance at noon"] {
        assert!(table.contains(cell), "{cell} of {table}");
    }

    shown(&["nodes", "drain", name, "--undo"]);
    let drains = instance.json(&["nodes", "drains"]);
    assert_eq!(drains["nodes"], serde_json::json!([]));
    assert_eq!(instance.stop(), Some(0));
}
