console.log("demo_image");
