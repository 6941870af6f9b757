//! `streamhaul users`: people and who may come in.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::cli::{Target, UserToken, Users};
use crate::client::Client;
use crate::print;

pub(super) fn run(command: &Users) -> anyhow::Result<()> {
    match command {
        Users::List(target) => list(target),
        Users::Show { user, target } => show(user, target),
        Users::Create {
            name,
            email,
            target,
        } => create(name, email.as_deref(), target),
        Users::Invite { email, target } => invite(email, target),
        Users::Disable { user, undo, target } => disable(user, !undo, target),
        Users::Role { user, role, target } => set_role(user, role, target),
        Users::Plan {
            user,
            plan,
            inactive,
            target,
        } => give_plan(user, plan.as_deref(), *inactive, target),
        Users::ResetPassword { user, target } => reset_password(user, target),
        Users::Sessions { user, target } => sessions(user, target),
        Users::Revoke {
            user,
            session,
            target,
            ..
        } => revoke((user, "sessions"), session.as_deref(), target),
        Users::Token(UserToken::List { user, target }) => tokens(user, target),
        Users::Token(UserToken::New {
            user,
            name,
            days,
            target,
        }) => new_token(user, name, *days, target),
        Users::Token(UserToken::Revoke {
            user,
            token_id,
            target,
            ..
        }) => revoke((user, "tokens"), token_id.as_deref(), target),
    }
}

fn list(target: &Target) -> anyhow::Result<()> {
    let listed = Client::of(target)?.get("/api/v1/ops/users")?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = users(&listed).map(row).collect();
    print::table(
        &["name", "e-mail", "state", "role", "user"],
        &rows,
        "no user; `streamhaul users invite EMAIL` lets somebody come",
    );
    Ok(())
}

fn row(user: &Value) -> Vec<String> {
    let field = |name: &str| print::text(&user[name]);
    vec![
        field("name"),
        field("email"),
        state(user).to_owned(),
        field("role"),
        field("user_id"),
    ]
}

fn state(user: &Value) -> &'static str {
    if user["disabled"] == true {
        "shut out"
    } else if user["has_password"] == true {
        "signs in"
    } else {
        "token only"
    }
}

fn show(user: &str, target: &Target) -> anyhow::Result<()> {
    let shown = find(&Client::of(target)?, user)?;
    if target.json {
        print::json(&shown);
        return Ok(());
    }
    for (name, value) in shown.as_object().into_iter().flatten() {
        print::line(&format!("{name}: {}", print::text(value)));
    }
    Ok(())
}

fn create(name: &str, email: Option<&str>, target: &Target) -> anyhow::Result<()> {
    let request = json!({"name": name, "email": email});
    let made = Client::of(target)?.post("/api/v1/ops/users", &request, None)?;
    if target.json {
        print::json(&made);
        return Ok(());
    }
    let id = print::text(&made["user_id"]);
    print::line(&format!("made {id}; their token, shown this once:"));
    print::line(&print::text(&made["token"]));
    Ok(())
}

fn invite(email: &str, target: &Target) -> anyhow::Result<()> {
    let request = json!({"email": email});
    let made = Client::of(target)?.post("/api/v1/ops/invites", &request, None)?;
    tell(&made, "makes their account", target);
    Ok(())
}

fn set_role(user: &str, role: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("{}/role", path(&client, user)?);
    let answer = client.put(&path, &json!({"role": role}))?;
    if target.json {
        print::json(&answer);
    } else {
        print::line(&format!("{user} has the role {role}"));
    }
    Ok(())
}

fn give_plan(
    user: &str,
    plan: Option<&str>,
    inactive: bool,
    target: &Target,
) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("{}/plan", path(&client, user)?);
    let status = if inactive { "inactive" } else { "active" };
    let answer = client.put(&path, &json!({"plan_tier": plan, "plan_status": status}))?;
    if target.json {
        print::json(&answer);
        return Ok(());
    }
    let plan = plan.unwrap_or("the default plan");
    print::line(&format!("{user} has {plan}, {status}"));
    Ok(())
}

fn reset_password(user: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("{}/password-reset", path(&client, user)?);
    let made = client.post(&path, &json!({}), None)?;
    tell(&made, "sets their password", target);
    Ok(())
}

/// Prints a link that somebody else follows.
fn tell(made: &Value, what_it_does: &str, target: &Target) {
    if target.json {
        print::json(made);
        return;
    }
    let field = |name: &str| print::text(&made[name]);
    let mailed = if made["mailed"] == true {
        "a letter is on its way; this is its link"
    } else {
        "no mail is set up: hand this link over"
    };
    print::line(&format!("{}: {mailed}", field("email")));
    print::line(&field("url"));
    let expires_at = field("expires_at");
    print::line(&format!("it {what_it_does}, once, until {expires_at}"));
}

fn disable(user: &str, disabled: bool, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("{}/disable", path(&client, user)?);
    let answer = client.post(&path, &json!({"disabled": disabled}), None)?;
    if target.json {
        print::json(&answer);
    } else if disabled {
        print::line(&format!(
            "{user} is shut out; their streams and sign-ins ended"
        ));
    } else {
        print::line(&format!("{user} may come in again"));
    }
    Ok(())
}

fn sessions(user: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let listed = client.get(&format!("{}/sessions", path(&client, user)?))?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let sessions = listed["sessions"].as_array().into_iter().flatten();
    let columns = ["kind", "device", "last_used_at", "created_at", "id"];
    let row = |session: &Value| columns.map(|name| print::text(&session[name])).to_vec();
    let rows: Vec<Vec<String>> = sessions.map(row).collect();
    let head = ["kind", "device", "last used", "since", "session"];
    print::table(&head, &rows, "nothing is signed in");
    Ok(())
}

fn tokens(user: &str, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let listed = client.get(&format!("{}/tokens", path(&client, user)?))?;
    if target.json {
        print::json(&listed);
        return Ok(());
    }
    let tokens = listed["tokens"].as_array().into_iter().flatten();
    let columns = ["name", "created_at", "expires_at", "token_id"];
    let row = |token: &Value| columns.map(|name| print::text(&token[name])).to_vec();
    let rows: Vec<Vec<String>> = tokens.map(row).collect();
    let head = ["name", "since", "until", "token"];
    let none = "no token; `streamhaul users token new` gives one";
    print::table(&head, &rows, none);
    Ok(())
}

fn new_token(user: &str, name: &str, days: Option<u32>, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let path = format!("{}/tokens", path(&client, user)?);
    let made = client.post(&path, &json!({"name": name, "days": days}), None)?;
    if target.json {
        print::json(&made);
        return Ok(());
    }
    let id = print::text(&made["token_id"]);
    print::line(&format!("made {id}; the token, shown this once:"));
    print::line(&print::text(&made["token"]));
    Ok(())
}

/// Ends one of a user's sign-ins or tokens. Without an id, every one: the command line
/// asks for `--all` then.
fn revoke((user, what): (&str, &str), one: Option<&str>, target: &Target) -> anyhow::Result<()> {
    let client = Client::of(target)?;
    let all = format!("{}/{what}", path(&client, user)?);
    let path = one.map_or_else(|| all.clone(), |one| format!("{all}/{one}"));
    client.delete(&path)?;
    if target.json {
        print::json(&json!({"revoked": one.unwrap_or("all")}));
    } else {
        print::line("ended");
    }
    Ok(())
}

/// Where a user is, by id, e-mail address or name.
fn path(client: &Client, wanted: &str) -> anyhow::Result<String> {
    let id = print::text(&find(client, wanted)?["user_id"]);
    Ok(format!("/api/v1/ops/users/{id}"))
}

pub(super) fn find(client: &Client, wanted: &str) -> anyhow::Result<Value> {
    let listed = client.get("/api/v1/ops/users")?;
    named(&listed, wanted)
}

/// A name may be several people's; an id and an address are one's.
fn named(listed: &Value, wanted: &str) -> anyhow::Result<Value> {
    let is = |user: &&Value, field: &str| user[field] == wanted;
    let exact = users(listed).find(|user| is(user, "user_id") || is(user, "email"));
    let mut by_name = users(listed).filter(|user| is(user, "name"));
    let found = exact.or_else(|| by_name.next());
    let found =
        found.with_context(|| format!("no user `{wanted}`; `streamhaul users list` shows them"))?;
    if exact.is_none() && by_name.next().is_some() {
        bail!("several users are called `{wanted}`; name one by e-mail address or id");
    }
    Ok(found.clone())
}

fn users(listed: &Value) -> impl Iterator<Item = &Value> {
    listed["users"].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_id_address_or_a_name_of_their_own() {
        let listed = json!({"users": [
            {"user_id": "usr_1", "name": "ann", "email": "ann@example.com"},
            {"user_id": "usr_2", "name": "ann", "email": null},
            {"user_id": "usr_3", "name": "bob", "email": null},
        ]});
        let id = |wanted: &str| named(&listed, wanted).map(|user| user["user_id"].clone());
        assert_eq!(id("usr_2").unwrap(), "usr_2");
        assert_eq!(id("ann@example.com").unwrap(), "usr_1");
        assert_eq!(id("bob").unwrap(), "usr_3");
        assert!(id("ann").unwrap_err().to_string().contains("several"));
        assert!(id("eve").unwrap_err().to_string().contains("users list"));
    }
}
