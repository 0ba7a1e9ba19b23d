console.log("demo_web_only");
