// Code that is wider than the page scrolls, by keyboard too. An observer looks when the code is laid out, which is when it comes into view.
{
  const observer = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const code of document.querySelectorAll("div.highlight pre")) observer.observe(code);
}

// A figure whose data can be explored gets a button; what draws them is loaded when it is pressed.
{
  const load = (url) =>
    new Promise((resolve, reject) => {
      const style = url.endsWith(".css");
      const tag = Object.assign(document.createElement(style ? "link" : "script"), style ? { rel: "stylesheet", href: url } : { src: url });
      tag.addEventListener("load", resolve);
      tag.addEventListener("error", () => reject(new Error(`${url} could not be loaded`)));
      document.head.append(tag);
    });
  for (const button of document.querySelectorAll("button[data-explore]")) {
    const figure = button.closest("figure");
    const root = document.documentElement.dataset.content_root;
    let box;
    button.hidden = false;
    button.addEventListener("click", async () => {
      if (box) {
        box.hidden = !box.hidden;
      } else {
        button.disabled = true;
        try {
          await Promise.all(
            ["_static/uplot/uPlot.min.css", "_static/uplot/uPlot.iife.min.js", "_static/explore.js", `downloads/${button.dataset.explore}`].map((f) => load(root + f)),
          );
          box = window.replibExplore(figure, window.replibData[button.dataset.explore]);
        } catch (error) {
          button.textContent = error.message;
          return;
        } finally {
          button.disabled = false;
        }
      }
      button.setAttribute("aria-expanded", String(!box.hidden));
    });
  }
}

// The ledger without this script is a picture and a plain table; with it, columns sort and boxes filter.
(() => {
  const table = document.getElementById("ledger-table");
  const box = document.getElementById("ledger-filters");
  if (!table || !box) return;
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const text = (row, column) => row.cells[column].textContent.trim();

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => text(a, column).localeCompare(text(b, column), "en", { numeric: true });
      body.append(...[...rows].sort((a, b) => (down ? -order(a, b) : order(a, b))));
    });
  });

  const chosen = (name) => box.elements[name].value;
  const accepts = (row) => {
    const run = chosen("run");
    const verdicts = run ? [row.dataset[run]] : [row.dataset.quick, row.dataset.paper];
    const words = `${row.textContent} ${row.dataset.search} ${row.dataset.claim}`.toLowerCase();
    return (
      verdicts.some((verdict) => verdict && (!chosen("verdict") || verdict === chosen("verdict"))) &&
      ["part", "year"].every((name) => !chosen(name) || row.dataset[name] === chosen(name)) &&
      (!chosen("cost") || (row.dataset.cost !== "" && Number(row.dataset.cost) <= Number(chosen("cost")))) &&
      words.includes(chosen("search").trim().toLowerCase())
    );
  };
  const apply = () => {
    const shown = new Set();
    for (const row of rows) {
      row.hidden = !accepts(row);
      if (!row.hidden) shown.add(row.dataset.claim);
    }
    for (const tile of document.querySelectorAll(".glance .tile")) {
      tile.classList.toggle("faded", !shown.has(tile.dataset.claim));
    }
    const visible = rows.filter((row) => !row.hidden).length;
    box.querySelector("output").textContent = `${visible} of ${rows.length} claims`;
  };
  box.addEventListener("input", apply);
  box.addEventListener("submit", (event) => event.preventDefault());
  box.addEventListener("reset", () => setTimeout(apply));
  apply();
})();

// On the search page, claims come before pages.
(() => {
  const results = document.getElementById("search-results");
  const query = new URLSearchParams(location.search).get("q")?.trim().toLowerCase();
  if (!results || !query) return;
  document.querySelector(".search-again input").value = query;
  const script = document.createElement("script");
  script.src = "claims.js";
  script.addEventListener("load", () => {
    const words = query.split(/\s+/);
    const hits = window.replibClaims.filter((claim) => {
      const words_in = claim.join(" ").toLowerCase();
      return words.every((word) => words_in.includes(word));
    });
    if (!hits.length) return;
    const box = document.createElement("section");
    box.className = "claim-hits";
    const head = document.createElement("h2");
    head.textContent = hits.length === 1 ? "1 claim" : `${hits.length} claims`;
    const list = document.createElement("ul");
    for (const [link, id, title, statement, verdict] of hits.slice(0, 20)) {
      const item = document.createElement("li");
      const anchor = document.createElement("a");
      anchor.href = link;
      anchor.textContent = statement;
      const label = document.createElement("span");
      label.className = `verdict verdict-${verdict.replaceAll(" ", "-")}`;
      label.textContent = verdict;
      item.append(anchor, " ", label, ` ${id} in ${title}`);
      list.append(item);
    }
    box.append(head, list);
    results.before(box);
  });
  document.head.append(script);
})();
