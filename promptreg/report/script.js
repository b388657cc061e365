"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const report = document.getElementById("report");
document.title = data.title;
for (const prompt of data.prompts) {
  const heading = document.createElement("h2");
  heading.textContent = prompt.name;
  const text = document.createElement("pre");
  text.textContent = JSON.stringify(prompt, null, 2);
  report.append(heading, text);
}
