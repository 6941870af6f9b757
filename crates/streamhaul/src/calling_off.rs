//! Work that somebody may call off with Ctrl-C.

use anyhow::bail;

/// Works until it is done, or called off: then what the work holds is dropped, and tidies up.
pub(crate) async fn unless_called_off<T, E>(
    work: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    tokio::select! {
        done = work => Ok(done?),
        _ = tokio::signal::ctrl_c() => bail!("called off; nothing is left half done"),
    }
}
