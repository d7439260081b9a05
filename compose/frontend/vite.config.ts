import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const api = "http://localhost:8000";

export default defineConfig({
  plugins: [react()],
  build: { sourcemap: false, target: "es2022" },
  server: { port: 3000, proxy: { "/api": api, "/ws": { target: api, ws: true } } },
});
