// Begins: styles, the stream of what is new, the frame.
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { start } from "./live.ts";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/frame.css";
import "./style/fleet.css";
import "./style/service.css";
import "./style/pipeline.css";

start();
createRoot(document.getElementById("page") as HTMLElement).render(<App />);
