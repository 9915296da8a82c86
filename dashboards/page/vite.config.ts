// Builds the page into dist/, which is committed: the same sources give the same bytes, so file names carry no hashes.
// Nothing ends up inline, for the server's policy forbids it. `npm run dev` takes the API from a `golden run` at GOLDEN.
import { defineConfig } from "vite";

const golden = process.env.GOLDEN ?? "http://127.0.0.1:8080";

export default defineConfig({
  server: { proxy: { "/api": golden, "/metrics": golden } },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/page.js",
        assetFileNames: "assets/page[extname]",
        codeSplitting: false,
      },
    },
  },
});
