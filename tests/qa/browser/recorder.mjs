// Runs in the page: says what the dock shows whenever that changes.

/** Installed before the page's own scripts; `report` takes each sight. */
export function recorder(report) {
  const text = (element) => element?.textContent?.trim() ?? null;
  const texts = (elements) => [...elements].map(text);

  const link = (row) => ({
    name: text(row.querySelector(".link-name")),
    rate: text(row.querySelector(".link-rate")),
    share: text(row.querySelector(".link-share")),
    figures: text(row.querySelector(".link-figures")),
    faded: row.dataset.faded === "true",
  });

  const card = (article) => ({
    name: text(article.querySelector(".row-name")),
    state: article.dataset.state ?? null,
    badge: text(article.querySelector(".badge")),
    figures: texts(article.querySelectorAll(".row-figures .figure")),
    newest_at_ms: article.dataset.newestAt === undefined ? null : Number(article.dataset.newestAt),
    meters: texts(article.querySelectorAll(".meter-value")),
    links: [...article.querySelectorAll(".link")].map(link),
  });

  let last = "";
  const look = () => {
    const cards = [...document.querySelectorAll("article.card")].map(card);
    const seen = { page: document.querySelector(".dock") === null ? "other" : "dock", cards };
    const now = JSON.stringify(seen);
    if (now === last) return;
    last = now;
    window[report]({ at_ms: Date.now(), ...seen });
  };
  const observe = () => {
    new MutationObserver(look).observe(document, { attributes: true, characterData: true, childList: true, subtree: true });
    look();
  };
  // Nothing is there to be observed before the document has its root.
  if (document.documentElement !== null) observe();
  else document.addEventListener("readystatechange", observe, { once: true });
}
