// On a phone a figure of several panels would be too small to read: it keeps a readable size and scrolls sideways.
for (const svg of document.querySelectorAll("figure.replib > svg")) {
  const box = document.createElement("div");
  box.className = "figure-scroll";
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `${svg.parentElement.querySelector("figcaption b").textContent} Scrolls sideways.`);
  svg.replaceWith(box);
  box.append(svg);
}

// The ledger without this script is a plain table; with it, columns sort and boxes filter.
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

  const filters = [];
  const add = (label, control, accepts) => {
    const wrapper = document.createElement("label");
    wrapper.append(label, control);
    box.append(wrapper);
    filters.push((row) => accepts(row, control.value));
    control.addEventListener("input", apply);
  };
  const apply = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !filters.every((accepts) => accepts(row));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  for (const name of ["Verdict", "Part", "Profile"]) {
    const column = heads.findIndex((head) => head.textContent === name);
    const select = document.createElement("select");
    select.append(new Option("all", ""));
    for (const value of [...new Set(rows.map((row) => text(row, column)))].sort()) select.append(new Option(value, value));
    add(name, select, (row, value) => !value || text(row, column) === value);
  }
  const search = document.createElement("input");
  search.type = "search";
  add("Search", search, (row, value) => row.textContent.toLowerCase().includes(value.toLowerCase()));
  const count = document.createElement("output");
  box.append(count);
  box.hidden = false;
  apply();
})();
