// A difference

function differenceView(difference) {
  const { from, to } = difference;
  const rows = JSON.parse(difference.rows);
  if (rows.length === 0) return note(`The content of versions ${from} and ${to} is equal.`);
  const head = ["", `Version ${from}`, "", `Version ${to}`].map((text) =>
    make("th", { scope: "col", role: "columnheader", class: text ? "text" : "number" }, text || hidden("Line")),
  );
  return make(
    "table",
    { class: "difference", role: "table" },
    make("caption", {}, `Changes from version ${from} to version ${to}: ${summary(rows)}`),
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, head)),
    make("tbody", { role: "rowgroup" }, rows.map(differenceRow)),
  );
}

function summary(rows) {
  const count = (kind) => rows.filter((row) => row.kind === kind).length;
  const said = ["added", "removed", "changed"].filter(count).map((kind) => `${plural(count(kind), "line")} ${kind}`);
  return said.join(", ") || "no lines";
}

function differenceRow(row) {
  if (row.kind === "gap" || row.kind === "heading") {
    const text = row.kind === "gap" ? plural(row.lines, "equal line") : row.text;
    return make("tr", { class: row.kind, role: "row" }, make("td", { colspan: "4", role: "cell" }, visible(text)));
  }
  return make("tr", { class: row.kind, role: "row" }, side(row, "old", "del"), side(row, "new", "ins"));
}

function side(row, which, mark) {
  const line = row[which];
  const attributes = (kind) => ({ class: `${kind} ${which}`, role: "cell" });
  if (line === null) return [make("td", attributes("number")), make("td", attributes("text"))];
  const isWhole = row.kind === "added" || row.kind === "removed";
  const word = row.kind === "same" ? null : hidden(mark === "del" ? "Removed: " : "Added: ");
  const piece = ([text, isChanged]) => (isChanged || isWhole ? make(mark, {}, visible(text)) : visible(text));
  return [
    make("td", attributes("number"), `${line.line}`),
    make("td", { ...attributes("text"), dir: "auto" }, word, (line.pieces ?? row.old.pieces).map(piece)),
  ];
}
