# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which inputs of custom-node packs name model files, and in which folder below models they lie.

Written by scripts/pack_loaders.py, never by hand, from:
  ComfyUI a125cd84 2025-10-12
  kijai/ComfyUI-WanVideoWrapper 088128b 2026-05-24
  stakeordie/emprops_comfy_nodes 0b3dc3c 2025-10-01
  TheMistoAI/MistoControlNet-Flux-dev 1293188 2025-09-05
  1038lab/ComfyUI-QwenVL 88d47a8 2026-08-20
  1038lab/ComfyUI-RMBG 58f1947 2026-08-21
  Acly/comfyui-inpaint-nodes b32f293 2026-05-03
  Acly/comfyui-tooling-nodes 5d3194f 2026-06-28
  BennyKok/comfyui-deploy 98c1aca 2025-11-12
  BobJohnson24/ComfyUI-Flux2-INT8 46e2731 2026-03-01
  ClownsharkBatwing/RES4LYF 022c873 2026-07-17
  Extraltodeus/LoadLoraWithTags cfc28d7 2025-02-25
  Fannovel16/ComfyUI-Frame-Interpolation 26545cc 2026-03-29
  Fannovel16/ComfyUI-MotionDiff 76fbdaa 2024-08-01
  Fannovel16/comfyui_controlnet_aux e8b689a 2026-04-13
  Gourieff/ComfyUI-ReActor 6ad6b35 2026-05-13
  GreenLandisaLie/AuraSR-ComfyUI 4ceef92 2024-09-04
  IamCreateAI/Ruyi-Models 6c7b597 2025-01-20
  JPS-GER/ComfyUI_JPS-Nodes 5fa9f72 2024-02-02
  Kosinkadink/ComfyUI-Advanced-ControlNet 9e60d8a 2026-07-18
  Kosinkadink/ComfyUI-AnimateDiff-Evolved d8d163c 2026-03-29
  Lightricks/ComfyUI-LTXVideo aceeae9 2026-06-30
  LykosAI/ComfyUI-Inference-Core-Nodes d6f7fbc 2025-04-05
  MinusZoneAI/ComfyUI-FluxExt-MZ 00e4b70 2024-08-17
  MinusZoneAI/ComfyUI-Kolors-MZ 43ec270 2025-03-31
  PozzettiAndrea/ComfyUI-DepthAnythingV3 79b51a1 2026-05-04
  SeargeDP/SeargeSDXL 2eb5edb 2024-04-10
  Shakker-Labs/ComfyUI-IPAdapter-Flux eef22b6 2025-06-22
  Slickytail/ComfyUI-InstantX-IPAdapter-SD3 9f9a9a8 2025-09-25
  Smirnov75/ComfyUI-mxToolkit 7f7a0e5 2025-05-07
  Suzie1/ComfyUI_Comfyroll_CustomNodes d78b780 2024-01-24
  TencentQQGYLab/ComfyUI-ELLA d5a60fb 2024-08-16
  TheMistoAI/MistoControlNet-Flux-dev 1293188 2025-09-05
  TinyTerra/ComfyUI_tinyterraNodes b5bb57f 2026-02-26
  Trung0246/ComfyUI-0246 d09cb3f 2025-03-14
  XLabs-AI/x-flux-comfyui 0032855 2024-10-30
  ZHO-ZHO-ZHO/ComfyUI-BiRefNet-ZHO 5d18c12 2024-04-18
  ZHO-ZHO-ZHO/ComfyUI-InstantID e3df9b0 2024-04-18
  ZHO-ZHO-ZHO/ComfyUI-PhotoMaker-ZHO 4fb78a6 2024-04-18
  aigc-apps/VideoX-Fun 804a425 2026-05-12
  balazik/ComfyUI-PuLID-Flux a80912f 2024-10-03
  bash-j/mikey_nodes a5aa9cf 2025-10-03
  bytedance/ComfyUI-HyperLoRA feb11be 2025-05-19
  bytedance/ComfyUI_InfiniteYou 1c97939 2025-07-24
  calcuis/gguf 452dfed 2026-08-13
  cardenluo/ComfyUI-Apt_Preset 4353a37 2026-08-19
  chflame163/ComfyUI_LayerStyle 64f976f 2026-08-01
  chflame163/ComfyUI_LayerStyle_Advance 7b678b4 2026-04-08
  city96/ComfyUI-GGUF 795e451 2025-12-18
  city96/ComfyUI_ExtraModels 92f556e 2024-12-17
  city96/SD-Latent-Upscaler 89543b0 2023-11-27
  comfyanonymous/ComfyUI_TensorRT 5bcc3f1 2024-10-09
  crystian/ComfyUI-Crystools 2f18256 2025-10-26
  cubiq/ComfyUI_IPAdapter_plus 9d076a3 2025-02-26
  cubiq/ComfyUI_InstantID 1ef34ef 2024-09-30
  cubiq/ComfyUI_essentials 33ff89f 2024-12-07
  cubiq/PuLID_ComfyUI 4e1fd40 2024-10-05
  filliptm/ComfyUI_Fill-Nodes 1b7724c 2026-08-07
  flowtyone/ComfyUI-Flowty-LDSR f9501ec 2024-02-15
  flowtyone/ComfyUI-Flowty-TripoSR a0c94ac 2024-03-06
  glifxyz/ComfyUI-GlifNodes b86352c 2024-11-25
  gokayfem/ComfyUI_VLM_nodes 3f96127 2026-08-01
  huanngzh/ComfyUI-MVAdapter 9d6d8af 2025-06-26
  idrirap/ComfyUI-Lora-Auto-Trigger-Words 52157df 2025-01-16
  jags111/efficiency-nodes-comfyui 4579b7d 2026-03-31
  jitcoder/lora-info 73d4160 2024-01-28
  justUmen/Bjornulf_custom_nodes 2a502cf 2025-05-22
  kijai/ComfyUI-CCSR 5fb3cec 2024-06-28
  kijai/ComfyUI-CogVideoXWrapper fdb8abd 2025-08-07
  kijai/ComfyUI-DepthAnythingV2 5531878 2026-03-06
  kijai/ComfyUI-DynamiCrafterWrapper 7670b09 2024-07-20
  kijai/ComfyUI-Florence2 00b6338 2025-08-09
  kijai/ComfyUI-FluxTrainer 639b3e8 2025-02-03
  kijai/ComfyUI-FramePackWrapper a7c4b70 2025-06-04
  kijai/ComfyUI-GIMM-VFI 4c9a312 2025-07-31
  kijai/ComfyUI-Hunyuan3DWrapper 2609efa 2026-03-16
  kijai/ComfyUI-HunyuanVideoWrapper 3ce9640 2025-05-09
  kijai/ComfyUI-IC-Light 22811d9 2025-05-30
  kijai/ComfyUI-KJNodes 3f20054 2026-08-14
  kijai/ComfyUI-KwaiKolorsWrapper 6fc1cd9 2024-10-18
  kijai/ComfyUI-LivePortraitKJ 4d9dc62 2024-08-05
  kijai/ComfyUI-Lotus dcd5bea 2024-10-13
  kijai/ComfyUI-LuminaWrapper 1086e28 2024-06-28
  kijai/ComfyUI-Marigold 2adfec7 2025-05-16
  kijai/ComfyUI-MelBandRoFormer b40e263 2025-08-26
  kijai/ComfyUI-MimicMotionWrapper 89d0ed5 2025-01-12
  kijai/ComfyUI-MochiWrapper e1bd052 2024-11-11
  kijai/ComfyUI-PyramidFlowWrapper 426e365 2024-11-15
  kijai/ComfyUI-SUPIR 0613a92 2026-02-04
  kijai/ComfyUI-WanAnimatePreprocess 1a35b81 2025-12-22
  kijai/ComfyUI-WanVideoWrapper 721cd65 2025-03-04
  kijai/ComfyUI-segment-anything-2 059815e 2024-10-03
  lihaoyun6/ComfyUI-FlashVSR_Ultra_Fast 9bd91d0 2025-11-01
  liusida/ComfyUI-B-LoRA 744b2e1 2024-06-18
  lldacing/ComfyUI_BiRefNet_ll 5443a2a 2025-06-02
  lldacing/ComfyUI_PuLID_Flux_ll ba90657 2025-04-08
  logtd/ComfyUI-InstanceDiffusion 5f49181 2024-08-30
  ltdrdata/ComfyUI-Impact-Pack 727295b 2024-10-24
  ltdrdata/ComfyUI-Impact-Subpack 5b4e550 2025-07-03
  ltdrdata/ComfyUI-Inspire-Pack 1aef2c5 2025-09-08
  ltdrdata/ComfyUI-Workflow-Component cbcb88d 2023-12-02
  ltdrdata/was-node-suite-comfyui f864477 2025-06-03
  mav-rik/facerestore_cf ff4d7a5 2025-06-21
  melMass/comfy_mtb eabe43d 2025-09-07
  mirabarukaso/ComfyUI_Mira 22e8925 2026-07-31
  neverbiasu/ComfyUI-SAM2 e75eabc 2026-03-29
  nullquant/ComfyUI-BrushNet 505d8ef 2025-03-31
  numz/ComfyUI-SeedVR2_VideoUpscaler 4490bd1 2025-12-24
  nunchaku-tech/ComfyUI-nunchaku dbfd194 2025-11-08
  pollockjj/ComfyUI-MultiGPU a38cbda 2026-03-21
  pythongosssss/ComfyUI-Custom-Scripts 609f3af 2026-02-12
  receyuki/comfyui-prompt-reader-node a88722c 2025-02-01
  rgthree/rgthree-comfy 13b4399 2026-08-21
  ryanontheinside/ComfyUI_RyanOnTheInside dbbeca0 2026-03-02
  shadowcz007/comfyui-mixlab-nodes b2bb187 2025-02-05
  shiimizu/ComfyUI-PhotoMaker-Plus 459f5c0 2024-12-01
  sipherxyz/comfyui-art-venture 51ed4a0 2025-12-31
  sipie800/ComfyUI-PuLID-Flux-Enhanced 04e1b52 2025-02-07
  siraxe/ComfyUI-WanVideoWrapper_QQ 285c7a1 2026-04-09
  smthemex/ComfyUI_EchoMimic 3a36b00 2026-02-28
  smthemex/ComfyUI_Sonic 8556234 2025-09-27
  smthemex/ComfyUI_StoryDiffusion e4e0acd 2025-09-02
  stakeordie/ComfyUI-GGUF-EmProps 85fddd0 2025-06-04
  stakeordie/emprops_comfy_nodes 0b3dc3c 2025-10-01
  storyicon/comfyui_segment_anything ab63955 2024-03-21
  ussoewwin/ComfyUI-QwenImageLoraLoader 6efac00 2026-08-17
  visualbruno/ComfyUI-Hunyuan3d-2-1 9d7ef32 2025-08-11
  visualbruno/ComfyUI-Trellis2 ded8950 2026-01-07
  vrgamegirl19/comfyui-vrgamedevgirl e9f15a7 2026-08-22
  wallish77/wlsh_nodes 9780746 2024-06-19
  willmiao/ComfyUI-Lora-Manager 25e72b43 2026-08-22
  wuwukaka/ComfyUI-WanAnimatePlus 7ae6141 2026-05-30
  yolain/ComfyUI-Easy-Use 4de1ab3 2026-08-14
  yuvraj108c/ComfyUI-Depth-Anything-Tensorrt 816bb29 2026-03-02
"""

from __future__ import annotations

# Class;input=folder below models, or several in the order in which their files are listed. A line that starts with ; goes on.
_LOADERS = """\
ACN_AnimaLLLiteLoaderAdvanced;model_patch=model_patches
ACN_ControlNet++LoaderAdvanced;name=controlnet
ACN_ControlNet++LoaderSingle;name=controlnet
ACN_ControlNetLoaderAdvanced;cnet=controlnet
ACN_CtrLoRALoader;base=controlnet;lora=controlnet
ACN_DiffControlNetLoaderAdvanced;cnet=controlnet
ACN_SparseCtrlLoaderAdvanced;sparsectrl_name=controlnet
ACN_SparseCtrlMergedLoaderAdvanced;sparsectrl_name=controlnet;control_net_name=controlnet
ADE_AnimateDiffLoRALoader;name=animatediff_motion_lora
ADE_AnimateDiffLoaderGen1;model_name=animatediff_models
ADE_AnimateDiffLoaderV1Advanced;model_name=animatediff_models
ADE_AnimateDiffLoaderWithContext;model_name=animatediff_models
ADE_InjectI2VIntoAnimateDiffModel;model_name=animatediff_models
ADE_InjectPIAIntoAnimateDiffModel;model_name=animatediff_models
ADE_LoadAnimateDiffModel;model_name=animatediff_models
ADE_LoadAnimateDiffModelWithCameraCtrl;model_name=animatediff_models;camera_ctrl=animatediff_models
ADE_LoadAnimateLCMI2VModel;model_name=animatediff_models
ADE_RegisterLoraHook;lora_name=loras
ADE_RegisterLoraHookModelOnly;lora_name=loras
ADE_RegisterModelAsLoraHook;ckpt_name=checkpoints
ADE_RegisterModelAsLoraHookModelOnly;ckpt_name=checkpoints
AD_sam_Crop;ckpt_name=checkpoints
AV_CheckpointModelsToParametersPipe;ckpt_name=checkpoints;secondary_ckpt_name=checkpoints;vae_name=vae
;upscaler_name=upscale_models;secondary_upscaler_name=upscale_models;lora_1_name=loras;lora_2_name=loras;lora_3_name=loras
AV_ControlNetEfficientLoader;control_net_name=controlnet
AV_ControlNetEfficientLoaderAdvanced;control_net_name=controlnet
AV_ControlNetEfficientStacker;control_net_name=controlnet
AV_ControlNetEfficientStackerSimple;control_net_name=controlnet
AV_ControlNetLoader;control_net_name=controlnet
AV_IPAdapter;ip_adapter_name=ipadapter;clip_name=clip_vision
AV_IPAdapterPipe;ip_adapter_name=ipadapter;clip_name=clip_vision
AV_LoraLoader;lora_name=loras
AV_SAMLoader;model_name=sams
AV_VAELoader;vae_name=vae
AnimateDiffLoaderV1;model_name=animatediff_models
AudioEncoderLoaderGGUF;audio_encoder_name=audio_encoders
AuraSR.AuraSRUpscaler;model_name=aura-sr
BLIPLoader;model_name=blip
BaseModel_Loader_local;ckpt_name=checkpoints
BiRefNet_ModelLoader_Zho;birefnet_model=BiRefNet
Bjornulf_LoopModelSelector;model_1=checkpoints;model_2=checkpoints;model_3=checkpoints;model_4=checkpoints;model_5=checkpoints
;model_6=checkpoints;model_7=checkpoints;model_8=checkpoints;model_9=checkpoints;model_10=checkpoints
Bjornulf_RandomModelSelector;model_1=checkpoints;model_2=checkpoints;model_3=checkpoints;model_4=checkpoints;model_5=checkpoints
;model_6=checkpoints;model_7=checkpoints;model_8=checkpoints;model_9=checkpoints;model_10=checkpoints
BrushNetLoader;brushnet=inpaint
CCSR_Model_Select;ckpt_name=checkpoints
CLIPLoaderDisTorch2MultiGPU;clip_name=text_encoders
CLIPLoaderGGUF;clip_name=clip,text_encoders
CLIPLoaderMultiGPU;clip_name=text_encoders
CLIPVisionLoaderDisTorch2MultiGPU;clip_name=clip_vision
CLIPVisionLoaderMultiGPU;clip_name=clip_vision
CN_preset1_pack;control_net=controlnet
CR LoRA List;lora_name1=loras;lora_name2=loras;lora_name3=loras
CR LoRA Stack;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras
CR Load LoRA;lora_name=loras
CR Load Scheduled LoRAs;default_lora=loras
CR Load Scheduled Models;default_model=checkpoints
CR Model List;ckpt_name1=checkpoints;ckpt_name2=checkpoints;ckpt_name3=checkpoints;ckpt_name4=checkpoints;ckpt_name5=checkpoints
CR Model Merge Stack;ckpt_name1=checkpoints;ckpt_name2=checkpoints;ckpt_name3=checkpoints
CR Multi Upscale Stack;upscale_model_1=upscale_models;upscale_model_2=upscale_models;upscale_model_3=upscale_models
CR Multi-ControlNet Stack;controlnet_1=controlnet;controlnet_2=controlnet;controlnet_3=controlnet
CR Random LoRA Stack;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras
CR Random Weight LoRA;lora_name=loras
CR Select Model;ckpt_name1=checkpoints;ckpt_name2=checkpoints;ckpt_name3=checkpoints;ckpt_name4=checkpoints;ckpt_name5=checkpoints
CR Upscale Image;upscale_model=upscale_models
Checkpoint Loader (Simple);ckpt_name=checkpoints
Checkpoint Loader Simple Mikey;ckpt_name=checkpoints
Checkpoint Loader w/Name (WLSH);ckpt_name=checkpoints
Checkpoint Loader;ckpt_name=checkpoints
CheckpointLoaderAdvancedDisTorch2MultiGPU;ckpt_name=checkpoints
CheckpointLoaderAdvancedMultiGPU;ckpt_name=checkpoints
CheckpointLoaderKJ;ckpt_name=checkpoints
CheckpointLoaderSimpleDisTorch2MultiGPU;ckpt_name=checkpoints
CheckpointLoaderSimpleMira;ckpt_name=checkpoints
CheckpointLoaderSimpleMultiGPU;ckpt_name=checkpoints
CheckpointLoaderSimpleShared //Inspire;ckpt_name=checkpoints
CheckpointLoaderSimpleWithNoiseSelect;ckpt_name=checkpoints
CheckpointLoader|pysssss;ckpt_name=checkpoints
CheckpointNameSelector;ckpt_name=checkpoints
ClipLoaderGGUF;clip_name=clip,text_encoders
ClownModelLoader;model_name=checkpoints,diffusion_models;clip_name1_opt=text_encoders;clip_name2_opt=text_encoders
;clip_name3_opt=text_encoders;clip_name4_opt=text_encoders;vae_name=vae
CogVideoLoraSelect;lora=CogVideo/loras
CogVideoLoraSelectComfy;lora=loras
CogVideoXModelLoader;model=diffusion_models
CogVideoXVAELoader;model_name=vae
ComfyUIDeployExternalCheckpoint;default_value=checkpoints
ComfyUIDeployExternalLora;default_lora_name=loras
ControlNetLoaderAdvanced;control_net_name=controlnet
ControlNetLoaderDisTorch2MultiGPU;control_net_name=controlnet
ControlNetLoaderMultiGPU;control_net_name=controlnet
CustomLoraModelLoader;lora_name=loras
DependenciesEdit;ckpt_name=checkpoints;vae_name=vae
DepthAnythingTensorrt;engine=tensorrt/depth-anything
DepthAnythingTensorrtAdvanced;engine=tensorrt/depth-anything
DiTBlockLoraLoader;lora_name=loras
DiffControlNetLoaderAdvanced;control_net_name=controlnet
DiffControlNetLoaderDisTorch2MultiGPU;control_net_name=controlnet
DiffControlNetLoaderMultiGPU;control_net_name=controlnet
Diffusers Model Loader;model_path=diffusers
DiffusersLoaderDisTorch2MultiGPU;model_path=diffusers
DiffusersLoaderMultiGPU;model_path=diffusers
DiffusionModelLoaderKJ;model_name=diffusion_models
DiffusionModelSelector;model_name=diffusion_models,text_encoders
DitCheckpointLoader;ckpt_name=checkpoints
DownloadAndLoadDepthAnythingV3Model;model=depthanything3
DualCLIPLoaderDisTorch2MultiGPU;clip_name1=text_encoders;clip_name2=text_encoders
DualCLIPLoaderGGUF;clip_name1=clip,text_encoders;clip_name2=clip,text_encoders
DualCLIPLoaderMultiGPU;clip_name1=text_encoders;clip_name2=text_encoders
DualClipLoaderGGUF;clip_name1=clip,text_encoders;clip_name2=clip,text_encoders
DynamiCrafterCNLoader;ckpt_name=controlnet
DynamiCrafterModelLoader;ckpt_name=checkpoints
ELLALoader;name=ella
ETN_control_load;weights=controlnet
EasyFunction_Lite;unet=diffusion_models;gguf=gguf;clip1=clip;clip2=clip;clip_vision1=clip_vision;clip_vision2=clip_vision
;lora1=loras;lora2=loras;controlnet=controlnet
Echo_LoadModel;vae=vae;lora=loras
Eff. Loader SDXL;base_ckpt_name=checkpoints;refiner_ckpt_name=checkpoints;vae_name=vae
Efficient Loader;ckpt_name=checkpoints;vae_name=vae;lora_name=loras
EmProps_CLIP_Loader;clip_name=text_encoders
EmProps_CLIP_Vision_Loader;clip_vision_name=clip_vision
EmProps_Checkpoint_Loader;ckpt_name=checkpoints
EmProps_ControlNet_Loader;controlnet_name=controlnet
EmProps_Diffusion_Model_Loader;unet_name=diffusion_models
EmProps_DualCLIP_Loader;clip_name1=text_encoders;clip_name2=text_encoders
EmProps_Load_Upscale_Model;upscaler_name=upscale_models
EmProps_Lora_Loader;lora_name=loras
EmProps_Lora_Loader_Simple;lora_name=loras
EmProps_QuadrupleCLIP_Loader;clip_name1=text_encoders;clip_name2=text_encoders;clip_name3=text_encoders;clip_name4=text_encoders
EmProps_Style_Model_Loader;style_model_name=style_models
EmProps_VAE_Loader;vae_name=vae
EmbeddingPrompt;embedding=embeddings
ExtraVAELoader;vae_name=vae
ExtractFluxLoRA;original_model=unet;finetuned_model=unet
FL_ZImageControlNetPatch;name=model_patches
FaceRestoreModelLoader;model_name=facerestore_models
FantasyPortraitModelLoader;model=diffusion_models
FantasyTalkingModelLoader;model=diffusion_models
FantasyTalkingModelLoaderMultiGPU;model=diffusion_models
FlashVSRInitPipe;alt_vae=vae
FluxKohyaInferenceSampler;lora_name=loras
FluxLoader;model_name=checkpoints,diffusion_models;clip_name1=text_encoders;clip_name2_opt=text_encoders;vae_name=vae
;clip_vision_name=clip_vision;style_model_name=style_models
FluxLoraLoader;lora_name=xlabs/loras
FluxTrainModelSelect;transformer=unet;vae=vae;clip_l=clip;t5=clip
FramePackLoraSelect;lora=loras
GGUFLoaderKJ;model_name=unet_gguf;extra_model_name=unet_gguf,text_encoders
GGUFRun;select_safetensors=diffusion_models
GGUFSave;select_safetensors=diffusion_models
GGUFUndo;select_gguf=diffusion_models
GemmaAPITextEncode;ckpt_name=checkpoints
HYDiTCheckpointLoader;ckpt_name=checkpoints
HYDiTTextEncoderLoader;clip_name=clip;mt5_name=t5
HighRes-Fix Script;hires_ckpt_name=checkpoints;pixel_upscaler=upscale_models;control_net_name=controlnet
Hy3D21GenerateMultiViewsBatch;upscale_model_name=upscale_models
Hy3D21MeshGenerationBatch;vae_model_name=vae;dit_model_name=diffusion_models
Hy3D21VAELoader;model_name=vae
Hy3DMeshGenerator;model=diffusion_models
Hy3DModelLoader;model=diffusion_models
Hy3DVAELoader;model_name=vae
Hy3D_2_1SimpleMeshGen;model=diffusion_models
HyVideoLoraSelect;lora=loras
HyVideoModelLoader;model=diffusion_models
HyVideoTextEmbedsLoad;embeds=hyvid_embeds
HyVideoVAELoader;model_name=vae
HyperLoRAConfig;image_processor=hyper_lora/clip_processor;image_encoder=hyper_lora/clip_vit;face_analyzer=insightface/models
HyperLoRALoader;model=hyper_lora/hyper_lora
HyperLoRAUniLoader;image_processor=hyper_lora/clip_processor;image_encoder=hyper_lora/clip_vit;face_analyzer=insightface/models
;model=hyper_lora/hyper_lora
IDBaseModelLoader_local;ckpt_name=checkpoints
IDEmbeddingModelLoader;image_proj_model_name=infinite_you
INPAINT_LoadFooocusInpaint;head=inpaint;patch=inpaint
INPAINT_LoadInpaintModel;model_name=inpaint
INT8DynamicLoraLoader;lora_name=loras
INT8DynamicLoraStack;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras;lora_5=loras;lora_6=loras;lora_7=loras;lora_8=loras
;lora_9=loras;lora_10=loras
INT8LoraLoader;lora_name=loras
INT8LoraLoaderStack;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras;lora_5=loras;lora_6=loras;lora_7=loras;lora_8=loras
;lora_9=loras;lora_10=loras
IPA_clip_vision;clip_name=clip_vision
IPAdapterFluxLoader;ipadapter=ipadapter-flux
IPAdapterFluxLoaderAdvanced;ipadapter=ipadapter-flux
IPAdapterModelLoader;ipadapter_file=ipadapter
IPAdapterSD3Loader;ipadapter=ipadapter
ISNetLoader;model_name=isnet
ImageApplyLUT+;lut_file=luts
ImageSaverMira;modelname=checkpoints,diffusion_models
Image_Resize2;model_scale=upscale_models
Image_UpscaleModel;upscale_model=upscale_models
InfuseNetLoader;controlnet_name=infinite_you
InstantIDModelLoader;instantid_file=instantid
Krea2ControlNetLoraLoader;name=controlnet
LDSRModelLoader;model=upscale_models
LDSRUpscaler;model=upscale_models
LLMLoader;ckpt_name=LLavacheckpoints
LLMOptionalMemoryFreeAdvanced;ckpt_name=LLavacheckpoints
LLMOptionalMemoryFreeSimple;ckpt_name=LLavacheckpoints
LLava Loader Simple;ckpt_name=LLavacheckpoints
LLavaOptionalMemoryFreeAdvanced;ckpt_name=LLavacheckpoints;clip_name=LLavacheckpoints
LLavaOptionalMemoryFreeSimple;ckpt_name=LLavacheckpoints;clip_name=LLavacheckpoints
LTX2LoRASelect;lora_name=loras
LTX2LoraLoaderAdvanced;lora_name=loras
LTXICLoRALoaderModelOnly;lora_name=loras
LTXVGemmaCLIPModelLoader;gemma_path=text_encoders;ltxv_path=checkpoints
LTXVQ8LoraModelLoader;lora_name=loras
LayerMask: TransparentBackgroundUltra;model=transparent-background
LayerPatcher;embedder=diffusion_models;gates=diffusion_models;last_layer=diffusion_models
LdmPipelineLoader;ckpt_name=checkpoints
LdmVaeLoader;vae_name=vae
LlavaClipLoader;clip_name=LLavacheckpoints
LoRA Stacker;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras;lora_name_4=loras;lora_name_5=loras;lora_name_6=loras
;lora_name_7=loras;lora_name_8=loras;lora_name_9=loras;lora_name_10=loras;lora_name_11=loras;lora_name_12=loras;lora_name_13=loras
;lora_name_14=loras;lora_name_15=loras;lora_name_16=loras;lora_name_17=loras;lora_name_18=loras;lora_name_19=loras
;lora_name_20=loras;lora_name_21=loras;lora_name_22=loras;lora_name_23=loras;lora_name_24=loras;lora_name_25=loras
;lora_name_26=loras;lora_name_27=loras;lora_name_28=loras;lora_name_29=loras;lora_name_30=loras;lora_name_31=loras
;lora_name_32=loras;lora_name_33=loras;lora_name_34=loras;lora_name_35=loras;lora_name_36=loras;lora_name_37=loras
;lora_name_38=loras;lora_name_39=loras;lora_name_40=loras;lora_name_41=loras;lora_name_42=loras;lora_name_43=loras
;lora_name_44=loras;lora_name_45=loras;lora_name_46=loras;lora_name_47=loras;lora_name_48=loras;lora_name_49=loras
;lora_name_50=loras
LoRALoader;lora_name=loras
LoRALoaderWithNameStacker;lora_name=loras
Load Lora;lora_name=loras
LoadAndApplyICLightUnet;model_path=unet
LoadBLoRA;lora_name=loras
LoadChatGLM3;chatglm3_checkpoint=LLM/checkpoints
LoadCogVideoXFunLora;lora_name=loras
LoadDiffusionModelShared //Inspire;model_name=diffusion_models
LoadFlux2ControlNetInModel;model_name=model_patches
LoadFlux2ControlNetInPipeline;model_name=model_patches
LoadFlux2Lora;lora_name=loras
LoadFlux2TextEncoderModel;model_name=text_encoders
LoadFlux2TransformerModel;model_name=diffusion_models
LoadFlux2VAEModel;model_name=vae
LoadFluxControlNet;controlnet_path=xlabs/controlnets
LoadFluxIPAdapter;ipadatper=xlabs/ipadapters;clip_vision=clip_vision
LoadFramePackModel;model=diffusion_models
LoadInstanceFusersNode;model_filename=instance_models/fuser_models
LoadInstancePositionNetModel;model_filename=instance_models/positionnet_models
LoadInstanceScaleUNode;model_filename=instance_models/scaleu_models
LoadLBW //Inspire;lbw_model=lbw_models
LoadLotusModel;model=diffusion_models
LoadLynxResampler;model_name=diffusion_models
LoadModelMeta;checkpoint_name=checkpoints
LoadNLFModel;nlf_model=nlf
LoadQwenImageControlNetInModel;model_name=model_patches
LoadQwenImageControlNetInPipeline;model_name=model_patches
LoadQwenImageLora;lora_name=loras
LoadQwenImageTextEncoderModel;model_name=text_encoders
LoadQwenImageTransformerModel;model_name=diffusion_models
LoadQwenImageVAEModel;model_name=vae
LoadRembgByBiRefNetModel;model=BiRefNet
LoadTextEncoderShared //Inspire;model_name1=text_encoders;model_name2=text_encoders;model_name3=text_encoders
LoadTheMistoFluxControlNet;model_name=TheMisto_model
LoadVQGAN;model=fish_speech
LoadVQVAE;model_name=vae
LoadVaceWanTransformer3DModel;model_name=diffusion_models
LoadWan2_2FunLora;lora_name=loras;lora_high_name=loras
LoadWan2_2Lora;lora_name=loras;lora_high_name=loras
LoadWan2_2TransformerModel;model_name=diffusion_models
LoadWanClipEncoderModel;model_name=clip_vision,text_encoders
LoadWanFunLora;lora_name=loras
LoadWanLora;lora_name=loras
LoadWanTextEncoderModel;model_name=text_encoders
LoadWanTransformerModel;model_name=diffusion_models
LoadWanVAEModel;model_name=vae
LoadWanVideoClipTextEncoder;model_name=clip_vision,text_encoders
LoadWanVideoClipTextEncoderMultiGPU;model_name=clip_vision,text_encoders
LoadWanVideoT5TextEncoder;model_name=text_encoders
LoadWanVideoT5TextEncoderMultiGPU;model_name=text_encoders
LoadWhisperModel_;model_size=whisper
LoadZImageControlNetInModel;model_name=model_patches
LoadZImageControlNetInPipeline;model_name=model_patches
LoadZImageLora;lora_name=loras
LoadZImageTextEncoderModel;model_name=text_encoders
LoadZImageTransformerModel;model_name=diffusion_models
LoadZImageVAEModel;model_name=vae
LoaderGGUF;gguf_name=diffusion_models
LoaderGGUFAdvanced;gguf_name=diffusion_models
Lora Loader (JPS);lora_name=loras
Lora Loader Stack (rgthree);lora_01=loras;lora_02=loras;lora_03=loras;lora_04=loras
Lora Loader;lora_name=loras
LoraBlockInfo //Inspire;lora_name=loras
LoraInfo;lora_name=loras
LoraListNames;lora_name=loras
LoraLoaderAdvanced;lora_name=loras
LoraLoaderBlockWeight //Inspire;lora_name=loras
LoraLoaderStackedAdvanced;lora_name=loras
LoraLoaderStackedVanilla;lora_name=loras
LoraLoaderTagsQuery;lora_name=loras
LoraLoaderVanilla;lora_name=loras
LoraLoader|pysssss;lora_name=loras
LoraReduceRank;lora_name=loras
LoraReduceRankKJ;lora_name=loras
LoraRemapStrength;lora_name=loras
LoraSmartCombine;lora_1_name=loras;lora_2_name=loras;lora_3_name=loras;lora_4_name=loras
LoraTagsOnly;lora_name=loras
LorasForFluxParams+;lora_1=loras
LowVRAMAudioVAELoader;ckpt_name=checkpoints
LowVRAMCheckpointLoader;ckpt_name=checkpoints
LowVRAMLatentUpscaleModelLoader;model_name=latent_upscale_models
MMDetDetectorProvider;model_name=mmdets
MMDetLoader;model_name=mmdets
MZ_ChatGLM3Loader;chatglm3_checkpoint=LLM
MZ_Flux1CheckpointLoaderNF4_cpuDynOffload;ckpt_name=checkpoints
MZ_Flux1CheckpointLoader_cpuDynOffload;ckpt_name=checkpoints
MZ_Flux1UnetLoader_cpuDynOffload;unet_name=diffusion_models
MZ_IPAdapterModelLoaderKolors;ipadapter_file=ipadapter
MZ_KolorsCLIPVisionLoader;clip_name=clip_vision
MZ_KolorsCheckpointLoaderSimple;ckpt_name=checkpoints
MZ_KolorsControlNetLoader;control_net_name=controlnet
MZ_KolorsUNETLoader;unet_name=unet
MZ_KolorsUNETLoaderV2;unet_name=unet
MakeBasicPipe //Inspire;ckpt_name=checkpoints
MakeLBW //Inspire;lora_name=loras
MelBandRoFormerModelLoader;model_name=diffusion_models
MiaoBiCLIPLoader;clip_name=clip
MiaoBiDiffusersLoader;model_path=diffusers
Mikey Sampler Base Only Advanced;upscale_model=upscale_models
Mikey Sampler Base Only;model_name=upscale_models
Mikey Sampler Tiled Base Only;model_name=upscale_models
Mikey Sampler Tiled;model_name=upscale_models
Mikey Sampler;model_name=upscale_models
MikeySamplerTiledAdvanced;model_name=upscale_models
MikeySamplerTiledAdvancedBaseOnly;model_name=upscale_models
MochiModelLoader;model_name=diffusion_models
MochiVAEEncoderLoader;model_name=vae
MochiVAELoader;model_name=vae
ModelPreviewOverrideKJ;tiny_vae=vae_approx
Model_Preset_pack;ckpt_name=checkpoints;unet_name=unet;clip_name1=text_encoders;clip_name2=text_encoders;clip_name3=text_encoders
;clip_vision=clip_vision;control_net_name=controlnet;style_model_name=style_models;loras_name=loras
MultiTalkModelLoader;model=diffusion_models
NunchakuFluxDiTLoader;model_path=diffusion_models
NunchakuFluxLoraLoader;lora_name=loras
NunchakuFluxLoraStack;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras;lora_name_4=loras;lora_name_5=loras;lora_name_6=loras
;lora_name_7=loras;lora_name_8=loras;lora_name_9=loras;lora_name_10=loras;lora_name_11=loras;lora_name_12=loras;lora_name_13=loras
;lora_name_14=loras;lora_name_15=loras
NunchakuPuLIDLoaderV2;pulid_file=pulid;eva_clip_file=clip
NunchakuQwenImageDiTLoader;model_name=diffusion_models
NunchakuQwenImageLoraLoader;lora_name=loras
NunchakuQwenImageLoraStackV2;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras;lora_name_4=loras;lora_name_5=loras
;lora_name_6=loras;lora_name_7=loras;lora_name_8=loras;lora_name_9=loras;lora_name_10=loras
NunchakuQwenImageLoraStackV3;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras;lora_name_4=loras;lora_name_5=loras
;lora_name_6=loras;lora_name_7=loras;lora_name_8=loras;lora_name_9=loras;lora_name_10=loras
NunchakuTextEncoderLoader;text_encoder1=text_encoders;text_encoder2=text_encoders
NunchakuTextEncoderLoaderV2;text_encoder1=text_encoders;text_encoder2=text_encoders
NunchakuZImageTurboLoraStackV4;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras;lora_name_4=loras;lora_name_5=loras
;lora_name_6=loras;lora_name_7=loras;lora_name_8=loras;lora_name_9=loras;lora_name_10=loras
ONNXDetectorProvider;model_name=onnx
OTUNetLoaderW8A8;unet_name=diffusion_models
OnnxDetectionModelLoader;vitpose_model=detection;yolo_model=detection
OviMMAudioVAELoader;vae=vae,mmaudio;vocoder=vae,mmaudio
PhotoMakerLoaderPlus;photomaker_model_name=photomaker
PixArtCheckpointLoader;ckpt_name=checkpoints
PixArtCheckpointLoaderSimple;ckpt_name=checkpoints
PixArtLoraLoader;lora_name=loras
PowerPaintCLIPLoader;base=clip;powerpaint=inpaint
PromptExpansion;model_name=prompt_expansion
PulidFluxModelLoader;pulid_file=pulid
PulidModelLoader;pulid_file=pulid
PyramidFlowTransformerLoader;model=diffusion_models
PyramidFlowVAELoader;vae=vae
QuadrupleCLIPLoaderGGUF;clip_name1=clip,text_encoders;clip_name2=clip,text_encoders;clip_name3=clip,text_encoders
;clip_name4=clip,text_encoders
QuadrupleClipLoaderGGUF;clip_name1=clip,text_encoders;clip_name2=clip,text_encoders;clip_name3=clip,text_encoders
;clip_name4=clip,text_encoders
QwenLoader;model=text_encoders
ReActorFaceBoost;boost_model=facerestore_models
ReActorFaceSwap;swap_model=insightface,reswapper,hyperswap;face_restore_model=facerestore_models
ReActorFaceSwapOpt;swap_model=insightface,reswapper,hyperswap;face_restore_model=facerestore_models
ReActorLoadFaceModel;face_model=reactor/faces
ReActorMaskHelper;bbox_model_name=ultralytics;sam_model_name=sams
ReActorRestoreFace;model=facerestore_models
ReActorRestoreFaceAdvanced;model=facerestore_models
RembgNode_Mix;model_name=rembg
Ruyi_LoadLora;lora_name=loras
SAMLoader;model_name=sams
SD35Loader;model_name=checkpoints,diffusion_models;clip_name1=text_encoders;clip_name2_opt=text_encoders
;clip_name3_opt=text_encoders;vae_name=vae
SD3ModelSelect;transformer=checkpoints;clip_l=clip;clip_g=clip;t5=clip
SDLoraLoader;lora_name=loras
SDLoraSelector;lora_name=loras
SDParameterGenerator;ckpt_name=checkpoints;vae_name=vae
SDPromptSaver;model_name=checkpoints;vae_name=vae
SDXLModelSelect;checkpoint=checkpoints
SONICTLoader;sonic_unet=sonic
SUPIR_Upscale;supir_model=checkpoints;sdxl_model=checkpoints
SUPIR_model_loader;supir_model=checkpoints;sdxl_model=checkpoints
SUPIR_model_loader_v2;supir_model=checkpoints
SUPIR_model_loader_v2_clip;supir_model=checkpoints
SanaCheckpointLoader;ckpt_name=checkpoints
SeargeControlnetModels;clip_vision=clip_vision;canny_checkpoint=controlnet;depth_checkpoint=controlnet
;recolor_checkpoint=controlnet;sketch_checkpoint=controlnet;custom_checkpoint=controlnet
SeargeInput4;base_model=checkpoints;refiner_model=checkpoints;vae_model=vae;main_upscale_model=upscale_models
;support_upscale_model=upscale_models;lora_model=loras
SeargeLoras;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras;lora_5=loras
SeargeModelSelector;base_checkpoint=checkpoints;refiner_checkpoint=checkpoints;vae_checkpoint=vae
SeargeUpscaleModels;detail_processor=upscale_models;high_res_upscaler=upscale_models;primary_upscaler=upscale_models
;secondary_upscaler=upscale_models
StableCascade_CheckpointLoader //Inspire;stage_b=checkpoints;stage_c=checkpoints
Stack_CN_union3;controlNet=controlnet
Stack_CN_union;controlNet=controlnet
Stack_ControlNet;controlnet=controlnet
Stack_Ksampler_refine;upscale_model=upscale_models
Stack_LoRA;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras
Stack_Redux;style_model=style_models;clip_vision=clip_vision
Stack_WanAnimateToVideo;clip_vision_name=clip_vision
Stack_WanCameraImageToVideo;clip_vision_name=clip_vision
Stack_WanFirstLastFrameToVideo;clip_vision_name_start=clip_vision;clip_vision_name_end=clip_vision
Stack_WanFunControlToVideo;clip_vision_name=clip_vision
Stack_WanFunInpaintToVideo;clip_vision_name=clip_vision
Stack_WanImageToVideo;clip_vision_name=clip_vision
Stack_WanTrackToVideo;clip_vision_name=clip_vision
Stack_inpaint;control_net=controlnet
Stack_ksampler_tile;model_name=upscale_models
StoryDiffusion_Apply;photomake_ckpt=photomaker;ipadapter_ckpt=photomaker
T5TextEncoderLoader #ELLA;name=ella_encoder
T5v11Loader;t5v11_name=t5
TENSORBoost;select_safetensors=diffusion_models
TENSORCut;select_safetensors=diffusion_models
TensorRTLoader;unet_name=tensorrt
Tiled Upscaler Script;tile_controlnet=controlnet
TripleCLIPLoaderGGUF;clip_name1=clip,text_encoders;clip_name2=clip,text_encoders;clip_name3=clip,text_encoders
TripleClipLoaderGGUF;clip_name1=clip,text_encoders;clip_name2=clip,text_encoders;clip_name3=clip,text_encoders
TripoSRModelLoader;model=checkpoints
UNETLoaderDisTorch2MultiGPU;unet_name=diffusion_models
UNETLoaderMultiGPU;unet_name=diffusion_models
UNetLoaderLP;unet_name=unet
UltraSharkSampler Tiled;clip_name=clip_vision
UltralyticsDetectorProvider;model_name=ultralytics
UnetLoaderGGUF;unet_name=diffusion_models
UnetLoaderGGUFAdvanced;unet_name=diffusion_models
Upscale Model Loader;model_name=upscale_models
VAELoaderDisTorch2MultiGPU;vae_name=vae
VAELoaderKJ;vae_name=vae
VAELoaderMultiGPU;vae_name=vae
VRGDG_MiniMaxH3TurboLoRACompat;lora_name=loras
VRGDG_OptionalMultiLoraModelOnly;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras;lora_5=loras;lora_6=loras;lora_7=loras
;lora_8=loras;lora_9=loras;lora_10=loras;lora_11=loras;lora_12=loras;lora_13=loras;lora_14=loras;lora_15=loras;lora_16=loras
;lora_17=loras;lora_18=loras;lora_19=loras;lora_20=loras
VRGDG_OptionalMultiLoraTwoPassStrengths;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras;lora_5=loras;lora_6=loras;lora_7=loras
;lora_8=loras;lora_9=loras;lora_10=loras;lora_11=loras;lora_12=loras;lora_13=loras;lora_14=loras;lora_15=loras;lora_16=loras
;lora_17=loras;lora_18=loras;lora_19=loras;lora_20=loras
VRGDG_ZImageWorkflowRunnerUI;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras;lora_5=loras;lora_6=loras;lora_7=loras
;lora_8=loras;lora_9=loras;lora_10=loras;lora_11=loras;lora_12=loras;lora_13=loras;lora_14=loras;lora_15=loras;lora_16=loras
;lora_17=loras;lora_18=loras;lora_19=loras;lora_20=loras
VaeGGUF;vae_name=vae
VideoTextEncodeCached_KJ;model_name=text_encoders
WanAnimatePlus LoraSelectMulti;lora_0=loras;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras
WanAnimatePlus ModelLoader;model=diffusion_models
WanAnimatePlus TextEncodeCached;model_name=text_encoders
WanAnimatePlus Uni3C ControlnetLoader;model=controlnet
WanAnimatePlus VAELoader;model_name=vae
WanVideoControlnetLoader;model=controlnet
WanVideoControlnetLoaderMultiGPU;model=controlnet
WanVideoExtraModelSelect;extra_model=diffusion_models
WanVideoFlashVSRDecoderLoader;model_name=vae
WanVideoLoraSelect;lora=loras
WanVideoLoraSelectMulti;lora_0=loras;lora_1=loras;lora_2=loras;lora_3=loras;lora_4=loras
WanVideoModelLoader;model=diffusion_models
WanVideoModelLoaderMultiGPU;model=unet_gguf,diffusion_models
WanVideoPromptExtenderSelect;model=text_encoders
WanVideoTextEncodeCached;model_name=text_encoders
WanVideoTextEncodeCachedMultiGPU;model_name=text_encoders
WanVideoTinyVAELoader;model_name=vae_approx
WanVideoTinyVAELoaderMultiGPU;model_name=vae_approx
WanVideoUni3C_ControlnetLoader;model=controlnet
WanVideoUni3C_ControlnetLoaderMultiGPU;model=controlnet
WanVideoVACEModelSelect;vace_model=diffusion_models
WanVideoVAELoader;model_name=vae
WanVideoVAELoaderMultiGPU;model_name=vae
Wav2VecModelLoader;model=wav2vec2
Wav2VecModelLoaderMultiGPU;model=wav2vec2
WhisperModelLoader;model=audio_encoders
XY Input: Checkpoint;ckpt_name_1=checkpoints;vae_name_1=vae;ckpt_name_2=checkpoints;vae_name_2=vae;ckpt_name_3=checkpoints
;vae_name_3=vae;ckpt_name_4=checkpoints;vae_name_4=vae;ckpt_name_5=checkpoints;vae_name_5=vae;ckpt_name_6=checkpoints
;vae_name_6=vae;ckpt_name_7=checkpoints;vae_name_7=vae;ckpt_name_8=checkpoints;vae_name_8=vae;ckpt_name_9=checkpoints
;vae_name_9=vae;ckpt_name_10=checkpoints;vae_name_10=vae;ckpt_name_11=checkpoints;vae_name_11=vae;ckpt_name_12=checkpoints
;vae_name_12=vae;ckpt_name_13=checkpoints;vae_name_13=vae;ckpt_name_14=checkpoints;vae_name_14=vae;ckpt_name_15=checkpoints
;vae_name_15=vae;ckpt_name_16=checkpoints;vae_name_16=vae;ckpt_name_17=checkpoints;vae_name_17=vae;ckpt_name_18=checkpoints
;vae_name_18=vae;ckpt_name_19=checkpoints;vae_name_19=vae;ckpt_name_20=checkpoints;vae_name_20=vae;ckpt_name_21=checkpoints
;vae_name_21=vae;ckpt_name_22=checkpoints;vae_name_22=vae;ckpt_name_23=checkpoints;vae_name_23=vae;ckpt_name_24=checkpoints
;vae_name_24=vae;ckpt_name_25=checkpoints;vae_name_25=vae;ckpt_name_26=checkpoints;vae_name_26=vae;ckpt_name_27=checkpoints
;vae_name_27=vae;ckpt_name_28=checkpoints;vae_name_28=vae;ckpt_name_29=checkpoints;vae_name_29=vae;ckpt_name_30=checkpoints
;vae_name_30=vae;ckpt_name_31=checkpoints;vae_name_31=vae;ckpt_name_32=checkpoints;vae_name_32=vae;ckpt_name_33=checkpoints
;vae_name_33=vae;ckpt_name_34=checkpoints;vae_name_34=vae;ckpt_name_35=checkpoints;vae_name_35=vae;ckpt_name_36=checkpoints
;vae_name_36=vae;ckpt_name_37=checkpoints;vae_name_37=vae;ckpt_name_38=checkpoints;vae_name_38=vae;ckpt_name_39=checkpoints
;vae_name_39=vae;ckpt_name_40=checkpoints;vae_name_40=vae;ckpt_name_41=checkpoints;vae_name_41=vae;ckpt_name_42=checkpoints
;vae_name_42=vae;ckpt_name_43=checkpoints;vae_name_43=vae;ckpt_name_44=checkpoints;vae_name_44=vae;ckpt_name_45=checkpoints
;vae_name_45=vae;ckpt_name_46=checkpoints;vae_name_46=vae;ckpt_name_47=checkpoints;vae_name_47=vae;ckpt_name_48=checkpoints
;vae_name_48=vae;ckpt_name_49=checkpoints;vae_name_49=vae;ckpt_name_50=checkpoints;vae_name_50=vae
XY Input: LoRA Plot;lora_name=loras
XY Input: LoRA;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras;lora_name_4=loras;lora_name_5=loras;lora_name_6=loras
;lora_name_7=loras;lora_name_8=loras;lora_name_9=loras;lora_name_10=loras;lora_name_11=loras;lora_name_12=loras;lora_name_13=loras
;lora_name_14=loras;lora_name_15=loras;lora_name_16=loras;lora_name_17=loras;lora_name_18=loras;lora_name_19=loras
;lora_name_20=loras;lora_name_21=loras;lora_name_22=loras;lora_name_23=loras;lora_name_24=loras;lora_name_25=loras
;lora_name_26=loras;lora_name_27=loras;lora_name_28=loras;lora_name_29=loras;lora_name_30=loras;lora_name_31=loras
;lora_name_32=loras;lora_name_33=loras;lora_name_34=loras;lora_name_35=loras;lora_name_36=loras;lora_name_37=loras
;lora_name_38=loras;lora_name_39=loras;lora_name_40=loras;lora_name_41=loras;lora_name_42=loras;lora_name_43=loras
;lora_name_44=loras;lora_name_45=loras;lora_name_46=loras;lora_name_47=loras;lora_name_48=loras;lora_name_49=loras
;lora_name_50=loras
XY Input: Lora Block Weight //Inspire;lora_name=loras
XY Input: VAE;vae_name_1=vae;vae_name_2=vae;vae_name_3=vae;vae_name_4=vae;vae_name_5=vae;vae_name_6=vae;vae_name_7=vae
;vae_name_8=vae;vae_name_9=vae;vae_name_10=vae;vae_name_11=vae;vae_name_12=vae;vae_name_13=vae;vae_name_14=vae;vae_name_15=vae
;vae_name_16=vae;vae_name_17=vae;vae_name_18=vae;vae_name_19=vae;vae_name_20=vae;vae_name_21=vae;vae_name_22=vae;vae_name_23=vae
;vae_name_24=vae;vae_name_25=vae;vae_name_26=vae;vae_name_27=vae;vae_name_28=vae;vae_name_29=vae;vae_name_30=vae;vae_name_31=vae
;vae_name_32=vae;vae_name_33=vae;vae_name_34=vae;vae_name_35=vae;vae_name_36=vae;vae_name_37=vae;vae_name_38=vae;vae_name_39=vae
;vae_name_40=vae;vae_name_41=vae;vae_name_42=vae;vae_name_43=vae;vae_name_44=vae;vae_name_45=vae;vae_name_46=vae;vae_name_47=vae
;vae_name_48=vae;vae_name_49=vae;vae_name_50=vae
chx_IPA_adv;ipadapter_file=ipadapter;clip_vision=clip_vision
chx_IPA_faceID_adv;ipadapter_file=ipadapter;clip_vision=clip_vision
chx_Ksampler_refine;upscale_model=upscale_models
chx_YC_LG_Redux;style_model=style_models;clip_vision=clip_vision
chx_ksampler_tile;model_name=upscale_models
easy LLLiteLoader;model_name=controlnet
easy XYInputs: Checkpoint;ckpt_name_1=checkpoints;vae_name_1=vae;ckpt_name_2=checkpoints;vae_name_2=vae;ckpt_name_3=checkpoints
;vae_name_3=vae;ckpt_name_4=checkpoints;vae_name_4=vae;ckpt_name_5=checkpoints;vae_name_5=vae;ckpt_name_6=checkpoints
;vae_name_6=vae;ckpt_name_7=checkpoints;vae_name_7=vae;ckpt_name_8=checkpoints;vae_name_8=vae;ckpt_name_9=checkpoints
;vae_name_9=vae;ckpt_name_10=checkpoints;vae_name_10=vae
easy XYInputs: ControlNet;control_net_name=controlnet
easy XYInputs: Lora;lora_name_1=loras;lora_name_2=loras;lora_name_3=loras;lora_name_4=loras;lora_name_5=loras;lora_name_6=loras
;lora_name_7=loras;lora_name_8=loras;lora_name_9=loras;lora_name_10=loras
easy XYInputs: ModelMergeBlocks;ckpt_name_1=checkpoints;ckpt_name_2=checkpoints;vae_use=vae
easy a1111Loader;ckpt_name=checkpoints;vae_name=vae;lora_name=loras
easy applyBrushNet;brushnet=inpaint
easy applyPowerPaint;powerpaint_model=inpaint;powerpaint_clip=inpaint
easy cascadeLoader;stage_c=unet,checkpoints;stage_b=unet,checkpoints;stage_a=vae;clip_name=clip;lora_name=loras
easy ckptNames;ckpt_name=checkpoints
easy comfyLoader;ckpt_name=checkpoints;vae_name=vae;lora_name=loras
easy controlnetLoader++;control_net_name=controlnet
easy controlnetLoader;control_net_name=controlnet
easy controlnetLoaderADV;control_net_name=controlnet
easy controlnetNames;controlnet_name=controlnet
easy controlnetStack;controlnet_1=controlnet;controlnet_2=controlnet;controlnet_3=controlnet
easy fluxLoader;ckpt_name=checkpoints;vae_name=vae;lora_name=loras
easy fullCascadeKSampler;encode_vae_name=vae;decode_vae_name=vae
easy fullLoader;ckpt_name=checkpoints;vae_name=vae;lora_name=loras
easy hiresFix;model_name=upscale_models
easy hunyuanDiTLoader;ckpt_name=checkpoints;vae_name=vae;lora_name=loras
easy instantIDApply;instantid_file=instantid;control_net_name=controlnet
easy instantIDApplyADV;instantid_file=instantid;control_net_name=controlnet
easy kolorsLoader;unet_name=unet;vae_name=vae;chatglm3_name=LLM;lora_name=loras
easy loraNames;lora_name=loras
easy loraStack;lora_1_name=loras;lora_2_name=loras;lora_3_name=loras;lora_4_name=loras;lora_5_name=loras;lora_6_name=loras
;lora_7_name=loras;lora_8_name=loras;lora_9_name=loras;lora_10_name=loras
easy loraSwitcher;lora_1_name=loras;lora_2_name=loras;lora_3_name=loras;lora_4_name=loras;lora_5_name=loras;lora_6_name=loras
;lora_7_name=loras;lora_8_name=loras;lora_9_name=loras;lora_10_name=loras;lora_11_name=loras;lora_12_name=loras;lora_13_name=loras
;lora_14_name=loras;lora_15_name=loras;lora_16_name=loras;lora_17_name=loras;lora_18_name=loras;lora_19_name=loras
;lora_20_name=loras;lora_21_name=loras;lora_22_name=loras;lora_23_name=loras;lora_24_name=loras;lora_25_name=loras
;lora_26_name=loras;lora_27_name=loras;lora_28_name=loras;lora_29_name=loras;lora_30_name=loras;lora_31_name=loras
;lora_32_name=loras;lora_33_name=loras;lora_34_name=loras;lora_35_name=loras;lora_36_name=loras;lora_37_name=loras
;lora_38_name=loras;lora_39_name=loras;lora_40_name=loras;lora_41_name=loras;lora_42_name=loras;lora_43_name=loras
;lora_44_name=loras;lora_45_name=loras;lora_46_name=loras;lora_47_name=loras;lora_48_name=loras;lora_49_name=loras
;lora_50_name=loras
easy mochiLoader;ckpt_name=checkpoints;vae_name=vae
easy pixArtLoader;ckpt_name=checkpoints;vae_name=vae;clip_name=clip;t5_name=t5;lora_name=loras
easy preSamplingCascade;encode_vae_name=vae;decode_vae_name=vae
easy pulIDApply;pulid_file=pulid
easy pulIDApplyADV;pulid_file=pulid
easy samLoaderPipe;model_name=sams
easy sv3dLoader;ckpt_name=checkpoints;vae_name=vae
easy svdLoader;ckpt_name=checkpoints;vae_name=vae;clip_name=clip
easy ultralyticsDetectorPipe;model_name=ultralytics
easy zero123Loader;ckpt_name=checkpoints;vae_name=vae
load_GGUF;unet_name=diffusion_models
load_Nanchaku;unet_name=unet,diffusion_models;clip1=text_encoders;clip2=text_encoders;vae=vae;lora=loras
mask_sam_detctor;ckpt_name=checkpoints
pre_ZImageInpaint_patch;controlnet=model_patches
pre_controlnet;controlnet1=controlnet;controlnet2=controlnet;controlnet3=controlnet
pre_controlnet_union;controlNet=controlnet
pre_inpaint_sum;control_net=controlnet
pre_qwen_controlnet;controlnet1=model_patches;controlnet2=model_patches;controlnet3=model_patches
sampler_DynamicTileSplit;upscale_model=upscale_models
sum_create_chx;vae=vae
sum_load_MiniMaxH3;unet_name=unet,diffusion_models;clip1=text_encoders;vae=vae;audio_vae=vae
sum_load_adv;ckpt_name=checkpoints;unet_name=unet,diffusion_models;clip1=text_encoders;clip2=text_encoders;clip3=text_encoders
;clip4=text_encoders;vae=vae;lora=loras
sum_load_simple;ckpt_name=checkpoints;unet_name=unet,diffusion_models;clip1=text_encoders;clip2=text_encoders;vae=vae;lora=loras
sum_lora;lora_01=loras;lora_02=loras;lora_03=loras
ttN KSampler_v2;lora_name=loras;upscale_model_name=upscale_models
ttN hiresfixScale;model_name=upscale_models
ttN multiModelMerge;ckpt_A_name=checkpoints;ckpt_B_name=checkpoints;ckpt_C_name=checkpoints
ttN pipeKSampler;lora_name=loras
ttN pipeKSamplerAdvanced;lora_name=loras
ttN pipeKSamplerAdvanced_v2;lora_name=loras;upscale_model_name=upscale_models
ttN pipeKSamplerSDXL_v2;lora_name=loras;upscale_model_name=upscale_models
ttN pipeKSampler_v2;lora_name=loras;upscale_model_name=upscale_models
ttN pipeLoader;ckpt_name=checkpoints;vae_name=vae;lora1_name=loras;lora2_name=loras;lora3_name=loras
ttN pipeLoaderSDXL;ckpt_name=checkpoints;vae_name=vae;lora1_name=loras;lora2_name=loras;refiner_ckpt_name=checkpoints
;refiner_vae_name=vae;refiner_lora1_name=loras;refiner_lora2_name=loras
ttN pipeLoaderSDXL_v2;ckpt_name=checkpoints;vae_name=vae;refiner_ckpt_name=checkpoints
ttN pipeLoader_v2;ckpt_name=checkpoints;vae_name=vae
ttN pipeLoraStack;lora_1_name=loras;lora_2_name=loras;lora_3_name=loras;lora_4_name=loras;lora_5_name=loras;lora_6_name=loras
;lora_7_name=loras;lora_8_name=loras;lora_9_name=loras;lora_10_name=loras;lora_11_name=loras;lora_12_name=loras;lora_13_name=loras
;lora_14_name=loras;lora_15_name=loras;lora_16_name=loras;lora_17_name=loras;lora_18_name=loras;lora_19_name=loras
;lora_20_name=loras
ttN tinyLoader;ckpt_name=checkpoints;vae_name=vae
unCLIP Checkpoint Loader;ckpt_name=checkpoints
"""

# Class;widgets in the order of widgets_values. An empty name is a value that the frontend adds (control_after_generate).
# The list ends where the source does not tell how it goes on.
_WIDGETS = """\
ACN_AnimaLLLiteLoaderAdvanced;model_patch
ACN_ControlNet++LoaderAdvanced;name
ACN_ControlNet++LoaderSingle;name;control_type
ACN_ControlNetLoaderAdvanced;cnet
ACN_CtrLoRALoader;base;lora
ACN_DiffControlNetLoaderAdvanced;cnet
ACN_SparseCtrlLoaderAdvanced;sparsectrl_name;use_motion;motion_strength;motion_scale;context_aware;sparse_hint_mult
;sparse_nonhint_mult;sparse_mask_mult
ACN_SparseCtrlMergedLoaderAdvanced;sparsectrl_name;control_net_name;use_motion;motion_strength;motion_scale
ADE_AnimateDiffLoRALoader;name;strength
ADE_AnimateDiffLoaderGen1;model_name;beta_schedule
ADE_AnimateDiffLoaderV1Advanced;model_name;unlimited_area_hack;context_length;context_stride;context_overlap;context_schedule
;closed_loop;beta_schedule
ADE_AnimateDiffLoaderWithContext;model_name;beta_schedule;motion_scale;apply_v2_models_properly
ADE_InjectI2VIntoAnimateDiffModel;model_name
ADE_InjectPIAIntoAnimateDiffModel;model_name
ADE_LoadAnimateDiffModel;model_name
ADE_LoadAnimateDiffModelWithCameraCtrl;model_name;camera_ctrl
ADE_LoadAnimateLCMI2VModel;model_name
ADE_RegisterLoraHook;lora_name;strength_model;strength_clip
ADE_RegisterLoraHookModelOnly;lora_name;strength_model
ADE_RegisterModelAsLoraHook;ckpt_name;strength_model;strength_clip
ADE_RegisterModelAsLoraHookModelOnly;ckpt_name;strength_model
AD_sam_Crop;detection_threshold;max_objects;detect_interval;ckpt_name;pos;crop_factor;crop_width;crop_height;smoothing_preset
AV_CheckpointModelsToParametersPipe;ckpt_name;secondary_ckpt_name;vae_name;upscaler_name;secondary_upscaler_name;lora_1_name
;lora_2_name;lora_3_name
AV_ControlNetEfficientLoader;control_net_name;strength;preprocessor;control_net_override;resolution;enabled
AV_ControlNetEfficientLoaderAdvanced;control_net_name;strength;start_percent;end_percent;preprocessor;control_net_override
;resolution;enabled
AV_ControlNetEfficientStacker;control_net_name;strength;start_percent;end_percent;preprocessor;control_net_override;resolution
;enabled
AV_ControlNetEfficientStackerSimple;control_net_name;strength;preprocessor;control_net_override;resolution;enabled
AV_ControlNetLoader;control_net_name;control_net_override
AV_IPAdapter;ip_adapter_name;clip_name;weight;start_at;end_at
AV_IPAdapterPipe;ip_adapter_name;clip_name
AV_LoraLoader;lora_name;strength_model;strength_clip;lora_override;enabled
AV_SAMLoader;model_name
AV_VAELoader;vae_name;vae_override
AnimateDiffLoaderV1;model_name;unlimited_area_hack;beta_schedule
AudioEncoderLoaderGGUF;audio_encoder_name
AuraSR.AuraSRUpscaler;model_name;mode;reapply_transparency;tile_batch_size;device;offload_to_cpu
BLIPLoader;model_name
BaseModel_Loader_local;ckpt_name
BiRefNet_ModelLoader_Zho;birefnet_model
Bjornulf_LoopModelSelector;number_of_models;model_1;model_2;model_3;model_4;model_5;model_6;model_7;model_8;model_9;model_10
Bjornulf_RandomModelSelector;number_of_models;model_1;model_2;model_3;model_4;model_5;model_6;model_7;model_8;model_9;model_10
;seed;
BrushNetLoader;brushnet;dtype
CCSR_Model_Select;ckpt_name
CLIPLoaderDisTorch2MultiGPU;clip_name;type;device;virtual_vram_gb;donor_device;expert_mode_allocations;eject_models
CLIPLoaderGGUF;clip_name;type
CLIPLoaderMultiGPU;clip_name;type;device
CLIPVisionLoaderDisTorch2MultiGPU;clip_name;device;virtual_vram_gb;donor_device;expert_mode_allocations;eject_models
CLIPVisionLoaderMultiGPU;clip_name;device
CN_preset1_pack;control_net;Float_Strength;Float_start;Float_end
CR LoRA List;lora_name1;alias1;model_strength_1;clip_strength_1;lora_name2;alias2;model_strength_2;clip_strength_2;lora_name3
;alias3;model_strength_3;clip_strength_3
CR LoRA Stack;switch_1;lora_name_1;model_weight_1;clip_weight_1;switch_2;lora_name_2;model_weight_2;clip_weight_2;switch_3
;lora_name_3;model_weight_3;clip_weight_3
CR Load LoRA;switch;lora_name;strength_model;strength_clip
CR Load Scheduled LoRAs;mode;current_frame;schedule_alias;default_lora;strength_model;strength_clip;schedule_format
CR Load Scheduled Models;mode;current_frame;schedule_alias;default_model;schedule_format
CR Model List;ckpt_name1;alias1;ckpt_name2;alias2;ckpt_name3;alias3;ckpt_name4;alias4;ckpt_name5;alias5
CR Model Merge Stack;switch_1;ckpt_name1;model_ratio1;clip_ratio1;switch_2;ckpt_name2;model_ratio2;clip_ratio2;switch_3;ckpt_name3
;model_ratio3;clip_ratio3
CR Multi Upscale Stack;switch_1;upscale_model_1;rescale_factor_1;switch_2;upscale_model_2;rescale_factor_2;switch_3
;upscale_model_3;rescale_factor_3
CR Multi-ControlNet Stack;switch_1;controlnet_1;controlnet_strength_1;start_percent_1;end_percent_1;switch_2;controlnet_2
;controlnet_strength_2;start_percent_2;end_percent_2;switch_3;controlnet_3;controlnet_strength_3;start_percent_3;end_percent_3
CR Random LoRA Stack;exclusive_mode;stride;force_randomize_after_stride;lora_name_1;switch_1;chance_1;model_weight_1;clip_weight_1
;lora_name_2;switch_2;chance_2;model_weight_2;clip_weight_2;lora_name_3;switch_3;chance_3;model_weight_3;clip_weight_3
CR Random Weight LoRA;stride;force_randomize_after_stride;lora_name;switch;weight_min;weight_max;clip_weight
CR Select Model;ckpt_name1;ckpt_name2;ckpt_name3;ckpt_name4;ckpt_name5;select_model
CR Upscale Image;upscale_model;mode;rescale_factor;resize_width;resampling_method;supersample;rounding_modulus
Checkpoint Loader (Simple);ckpt_name
Checkpoint Loader Simple Mikey;ckpt_name
Checkpoint Loader w/Name (WLSH);ckpt_name
Checkpoint Loader;config_name;ckpt_name
CheckpointLoaderAdvancedDisTorch2MultiGPU;ckpt_name;unet_compute_device;unet_virtual_vram_gb;unet_donor_device;clip_compute_device
;clip_virtual_vram_gb;clip_donor_device;vae_device;unet_expert_mode_allocations;clip_expert_mode_allocations;high_precision_loras
;eject_models
CheckpointLoaderAdvancedMultiGPU;ckpt_name;unet_device;clip_device;vae_device
CheckpointLoaderKJ;ckpt_name;weight_dtype;compute_dtype;patch_cublaslinear;sage_attention;enable_fp16_accumulation
CheckpointLoaderSimpleDisTorch2MultiGPU;ckpt_name;compute_device;virtual_vram_gb;donor_device;expert_mode_allocations;eject_models
CheckpointLoaderSimpleMira;ckpt_name
CheckpointLoaderSimpleMultiGPU;ckpt_name;device
CheckpointLoaderSimpleShared //Inspire;ckpt_name;key_opt;mode
CheckpointLoaderSimpleWithNoiseSelect;ckpt_name;beta_schedule;use_custom_scale_factor;scale_factor
CheckpointLoader|pysssss;ckpt_name;prompt
CheckpointNameSelector;ckpt_name
ClipLoaderGGUF;clip_name;type;device
ClownModelLoader;model_name;weight_dtype;clip_name1_opt;clip_name2_opt;clip_name3_opt;clip_name4_opt;clip_type;vae_name
CogVideoLoraSelect;lora;strength;fuse_lora
CogVideoLoraSelectComfy;lora;strength;fuse_lora
CogVideoXModelLoader;model;base_precision;quantization;load_device;enable_sequential_cpu_offload;attention_mode
CogVideoXVAELoader;model_name;precision
ComfyUIDeployExternalCheckpoint;input_id;default_value;display_name;description
ComfyUIDeployExternalLora;input_id;default_lora_name;lora_save_name;display_name;description;lora_url;bearer_token
ControlNetLoaderAdvanced;control_net_name
ControlNetLoaderDisTorch2MultiGPU;control_net_name;compute_device;virtual_vram_gb;donor_device;expert_mode_allocations
;eject_models
ControlNetLoaderMultiGPU;control_net_name;device
CustomLoraModelLoader;lora_name;strength_model;enable;last_lora_node
DependenciesEdit;ckpt_name;vae_name;clip_skip;positive;negative
DepthAnythingTensorrt;engine
DepthAnythingTensorrtAdvanced;engine
DiTBlockLoraLoader;strength_model;lora_name
DiffControlNetLoaderAdvanced;control_net_name
DiffControlNetLoaderDisTorch2MultiGPU;control_net_name;compute_device;virtual_vram_gb;donor_device;expert_mode_allocations
;eject_models
DiffControlNetLoaderMultiGPU;control_net_name;device
Diffusers Model Loader;model_path
DiffusersLoaderDisTorch2MultiGPU;model_path;compute_device;virtual_vram_gb;donor_device;expert_mode_allocations;eject_models
DiffusersLoaderMultiGPU;model_path;device
DiffusionModelLoaderKJ;model_name;weight_dtype;compute_dtype;patch_cublaslinear;sage_attention;enable_fp16_accumulation
DiffusionModelSelector;model_name
DitCheckpointLoader;ckpt_name;model;image_size
DownloadAndLoadDepthAnythingV3Model;model;precision;attention
DualCLIPLoaderDisTorch2MultiGPU;clip_name1;clip_name2;type;device;virtual_vram_gb;donor_device;expert_mode_allocations
;eject_models
DualCLIPLoaderGGUF;clip_name1;clip_name2;type
DualCLIPLoaderMultiGPU;clip_name1;clip_name2;type;device
DualClipLoaderGGUF;clip_name1;clip_name2;type;device
DynamiCrafterCNLoader;ckpt_name
DynamiCrafterModelLoader;ckpt_name;dtype;fp8_unet
ELLALoader;name
ETN_control_load;weights
EasyFunction_Lite;repo1;repo2;unet;gguf;clip1;clip2;clip_vision1;clip_vision2;lora1;lora2;controlnet;special_mode;tag_temperature
Echo_LoadModel;vae;lora;denoising;infer_mode;lowvram;teacache_offload;block_offload;use_mmgp;version
Eff. Loader SDXL;base_ckpt_name;base_clip_skip;refiner_ckpt_name;refiner_clip_skip;positive_ascore;negative_ascore;vae_name
;positive;negative;token_normalization;weight_interpretation;empty_latent_width;empty_latent_height;batch_size
Efficient Loader;ckpt_name;vae_name;clip_skip;lora_name;lora_model_strength;lora_clip_strength;positive;negative
;token_normalization;weight_interpretation;empty_latent_width;empty_latent_height;batch_size
EmProps_CLIP_Loader;clip_name;type;device
EmProps_CLIP_Vision_Loader;clip_vision_name
EmProps_Checkpoint_Loader;ckpt_name
EmProps_ControlNet_Loader;controlnet_name
EmProps_Diffusion_Model_Loader;unet_name;weight_dtype
EmProps_DualCLIP_Loader;clip_name1;clip_name2;type;device
EmProps_Load_Upscale_Model;upscaler_name
EmProps_Lora_Loader;lora_name;strength_model;strength_clip
EmProps_Lora_Loader_Simple;lora_name;strength_model;strength_clip
EmProps_QuadrupleCLIP_Loader;clip_name1;clip_name2;clip_name3;clip_name4;device
EmProps_Style_Model_Loader;style_model_name
EmProps_VAE_Loader;vae_name
EmbeddingPrompt;embedding;weight
ExtraVAELoader;vae_name;vae_type;dtype
ExtractFluxLoRA;original_model;finetuned_model;output_path;dim;save_dtype;load_device;store_device;clamp_quantile;metadata
;mem_eff_safe_open
FL_ZImageControlNetPatch;name;auto_config;n_control_layers;additional_in_dim;refiner_control
FaceRestoreModelLoader;model_name
FantasyPortraitModelLoader;model;base_precision
FantasyTalkingModelLoader;model;base_precision
FantasyTalkingModelLoaderMultiGPU;model;base_precision;device
FlashVSRInitPipe;mode;alt_vae;force_offload;precision;device;attention_mode
FluxKohyaInferenceSampler;lora_name;lora_method;steps;width;height;guidance_scale;seed;;use_fp8;apply_t5_attn_mask;prompt
FluxLoader;model_name;weight_dtype;clip_name1;clip_name2_opt;vae_name;clip_vision_name;style_model_name
FluxLoraLoader;lora_name;strength_model
FluxTrainModelSelect;transformer;vae;clip_l;t5
FramePackLoraSelect;lora;strength;fuse_lora
GGUFLoaderKJ;model_name;extra_model_name;dequant_dtype;patch_dtype;patch_on_device;enable_fp16_accumulation;attention_override
GGUFRun;select_safetensors
GGUFSave;select_safetensors
GGUFUndo;select_gguf
GemmaAPITextEncode;api_key;prompt;enhance_prompt;ckpt_name
HYDiTCheckpointLoader;ckpt_name;model
HYDiTTextEncoderLoader;clip_name;mt5_name;device;dtype
HighRes-Fix Script;upscale_type;hires_ckpt_name;latent_upscaler;pixel_upscaler;upscale_by;use_same_seed;seed;;hires_steps;denoise
;iterations;use_controlnet;control_net_name;strength
Hy3D21GenerateMultiViewsBatch;output_folder;view_size;steps;guidance_scale;texture_size;unwrap_mesh;seed;;generate_random_seed
;remove_background;skip_generated_mesh;upscale_multiviews;upscale_model_name;export_multiviews;export_metadata;input_images_folder
;input_meshes_folder
Hy3D21MeshGenerationBatch;input_folder;output_folder;vae_model_name;dit_model_name;steps;guidance_scale;attention_mode;box_v
;octree_resolution;num_chunks;mc_level;mc_algo;simplify;target_face_num;seed;;generate_random_seed;file_format;remove_background
;skip_generated_mesh;enable_flash_vdm;force_offload
Hy3D21VAELoader;model_name
Hy3DMeshGenerator;model;steps;guidance_scale;seed;;attention_mode
Hy3DModelLoader;model;attention_mode;cublas_ops
Hy3DVAELoader;model_name
Hy3D_2_1SimpleMeshGen;model;steps;guidance_scale;octree_resolution
HyVideoLoraSelect;lora;strength
HyVideoModelLoader;model;base_precision;quantization;load_device;attention_mode;auto_cpu_offload;upcast_rope
HyVideoTextEmbedsLoad;embeds
HyVideoVAELoader;model_name;precision
HyperLoRAConfig;image_processor;image_encoder;resampler.dim;resampler.dim_head;resampler.heads;resampler.depth;resampler.ff_mult
;encoder_types;face_analyzer;id_embed_dim;num_id_tokens;hyper_dim;lora_rank;has_base_lora
HyperLoRALoader;model;dtype
HyperLoRAUniLoader;image_processor;image_encoder;encoder_types;face_analyzer;model;dtype
IDBaseModelLoader_local;ckpt_name
IDEmbeddingModelLoader;image_proj_model_name;image_proj_num_tokens;face_analysis_provider;face_analysis_det_size
INPAINT_LoadFooocusInpaint;head;patch
INPAINT_LoadInpaintModel;model_name
INT8DynamicLoraLoader;lora_name;strength
INT8DynamicLoraStack;lora_1;strength_1;lora_2;strength_2;lora_3;strength_3;lora_4;strength_4;lora_5;strength_5;lora_6;strength_6
;lora_7;strength_7;lora_8;strength_8;lora_9;strength_9;lora_10;strength_10
INT8LoraLoader;lora_name;strength
INT8LoraLoaderStack;lora_1;strength_1;lora_2;strength_2;lora_3;strength_3;lora_4;strength_4;lora_5;strength_5;lora_6;strength_6
;lora_7;strength_7;lora_8;strength_8;lora_9;strength_9;lora_10;strength_10
IPA_clip_vision;clip_name
IPAdapterFluxLoader;ipadapter;clip_vision;provider
IPAdapterFluxLoaderAdvanced;ipadapter;clip_vision;provider
IPAdapterModelLoader;ipadapter_file
IPAdapterSD3Loader;ipadapter;provider
ISNetLoader;model_name
ImageApplyLUT+;lut_file;gamma_correction;clip_values;strength
ImageSaverMira;filename;path;extension;steps;cfg;modelname;sampler_name;scheduler;positive;negative;seed_value;width;height
;lossless_webp;quality_jpeg_or_webp;optimize_png;counter;denoise;clip_skip;time_format;save_workflow_as_json;embed_workflow
;additional_hashes
Image_Resize2;model_scale;pixel_method;width_max;height_max;keep_ratio;divisible_by
Image_UpscaleModel;upscale_model;pixel_upscale;pixel_mode;pixel_rescale;pixel_resize_long_side;rounding_modulus
InfuseNetLoader;controlnet_name
InstantIDModelLoader;instantid_file
Krea2ControlNetLoraLoader;name
LDSRModelLoader;model
LDSRUpscaler;model;steps;pre_downscale;post_downscale;downsample_method
LLMLoader;ckpt_name;max_ctx;gpu_layers;n_threads;chat_format;n_batch;n_ubatch;flash_attention;use_mmap;split_mode;main_gpu
;tensor_split
LLMOptionalMemoryFreeAdvanced;ckpt_name;max_ctx;gpu_layers;n_threads;system_msg;prompt;max_tokens;temperature;top_p;top_k
;frequency_penalty;presence_penalty;repeat_penalty;seed;;unload;chat_format;n_batch;n_ubatch;flash_attention;use_mmap;split_mode
;main_gpu;tensor_split
LLMOptionalMemoryFreeSimple;ckpt_name;max_ctx;gpu_layers;n_threads;prompt;temperature;unload;chat_format;n_batch;n_ubatch
;flash_attention;use_mmap;split_mode;main_gpu;tensor_split
LLava Loader Simple;ckpt_name;max_ctx;gpu_layers;n_threads;n_batch;n_ubatch;flash_attention;use_mmap;split_mode;main_gpu
;tensor_split
LLavaOptionalMemoryFreeAdvanced;ckpt_name;clip_name;max_ctx;gpu_layers;n_threads;system_msg;prompt;max_tokens;temperature;top_p
;top_k;frequency_penalty;presence_penalty;repeat_penalty;seed;;unload;handler;n_batch;n_ubatch;flash_attention;use_mmap;split_mode
;main_gpu;tensor_split
LLavaOptionalMemoryFreeSimple;ckpt_name;clip_name;max_ctx;gpu_layers;n_threads;prompt;temperature;unload;handler;n_batch;n_ubatch
;flash_attention;use_mmap;split_mode;main_gpu;tensor_split
LTX2LoRASelect;lora_name;strength_model;video;video_to_audio;audio;audio_to_video;other
LTX2LoraLoaderAdvanced;lora_name;strength_model;video;video_to_audio;audio;audio_to_video;other
LTXICLoRALoaderModelOnly;lora_name;strength_model
LTXVGemmaCLIPModelLoader;gemma_path;ltxv_path;max_length
LTXVQ8LoraModelLoader;lora_name;strength_model
LayerMask: TransparentBackgroundUltra;model;detail_method;detail_erode;detail_dilate;black_point;white_point;process_detail;device
;max_megapixels
LayerPatcher;embedder;gates;last_layer;dtype
LdmPipelineLoader;ckpt_name;pipeline_name
LdmVaeLoader;vae_name;upcast_fp32
LlavaClipLoader;clip_name;handler
LoRA Stacker;input_mode;lora_count;lora_name_1;lora_wt_1;model_str_1;clip_str_1;lora_name_2;lora_wt_2;model_str_2;clip_str_2
;lora_name_3;lora_wt_3;model_str_3;clip_str_3;lora_name_4;lora_wt_4;model_str_4;clip_str_4;lora_name_5;lora_wt_5;model_str_5
;clip_str_5;lora_name_6;lora_wt_6;model_str_6;clip_str_6;lora_name_7;lora_wt_7;model_str_7;clip_str_7;lora_name_8;lora_wt_8
;model_str_8;clip_str_8;lora_name_9;lora_wt_9;model_str_9;clip_str_9;lora_name_10;lora_wt_10;model_str_10;clip_str_10;lora_name_11
;lora_wt_11;model_str_11;clip_str_11;lora_name_12;lora_wt_12;model_str_12;clip_str_12;lora_name_13;lora_wt_13;model_str_13
;clip_str_13;lora_name_14;lora_wt_14;model_str_14;clip_str_14;lora_name_15;lora_wt_15;model_str_15;clip_str_15;lora_name_16
;lora_wt_16;model_str_16;clip_str_16;lora_name_17;lora_wt_17;model_str_17;clip_str_17;lora_name_18;lora_wt_18;model_str_18
;clip_str_18;lora_name_19;lora_wt_19;model_str_19;clip_str_19;lora_name_20;lora_wt_20;model_str_20;clip_str_20;lora_name_21
;lora_wt_21;model_str_21;clip_str_21;lora_name_22;lora_wt_22;model_str_22;clip_str_22;lora_name_23;lora_wt_23;model_str_23
;clip_str_23;lora_name_24;lora_wt_24;model_str_24;clip_str_24;lora_name_25;lora_wt_25;model_str_25;clip_str_25;lora_name_26
;lora_wt_26;model_str_26;clip_str_26;lora_name_27;lora_wt_27;model_str_27;clip_str_27;lora_name_28;lora_wt_28;model_str_28
;clip_str_28;lora_name_29;lora_wt_29;model_str_29;clip_str_29;lora_name_30;lora_wt_30;model_str_30;clip_str_30;lora_name_31
;lora_wt_31;model_str_31;clip_str_31;lora_name_32;lora_wt_32;model_str_32;clip_str_32;lora_name_33;lora_wt_33;model_str_33
;clip_str_33;lora_name_34;lora_wt_34;model_str_34;clip_str_34;lora_name_35;lora_wt_35;model_str_35;clip_str_35;lora_name_36
;lora_wt_36;model_str_36;clip_str_36;lora_name_37;lora_wt_37;model_str_37;clip_str_37;lora_name_38;lora_wt_38;model_str_38
;clip_str_38;lora_name_39;lora_wt_39;model_str_39;clip_str_39;lora_name_40;lora_wt_40;model_str_40;clip_str_40;lora_name_41
;lora_wt_41;model_str_41;clip_str_41;lora_name_42;lora_wt_42;model_str_42;clip_str_42;lora_name_43;lora_wt_43;model_str_43
;clip_str_43;lora_name_44;lora_wt_44;model_str_44;clip_str_44;lora_name_45;lora_wt_45;model_str_45;clip_str_45;lora_name_46
;lora_wt_46;model_str_46;clip_str_46;lora_name_47;lora_wt_47;model_str_47;clip_str_47;lora_name_48;lora_wt_48;model_str_48
;clip_str_48;lora_name_49;lora_wt_49;model_str_49;clip_str_49;lora_name_50;lora_wt_50;model_str_50;clip_str_50
LoRALoader;lora_name;lora_weight
LoRALoaderWithNameStacker;lora_name;strength_model;strength_clip;bypass;lora_stack
Load Lora;lora_name;strength_model;strength_clip
LoadAndApplyICLightUnet;model_path
LoadBLoRA;lora_name;load_style;load_content;strength
LoadChatGLM3;chatglm3_checkpoint
LoadCogVideoXFunLora;lora_name;strength_model;lora_cache
LoadDiffusionModelShared //Inspire;model_name;weight_dtype;key_opt;mode
LoadFlux2ControlNetInModel;config;model_name
LoadFlux2ControlNetInPipeline;config;model_name
LoadFlux2Lora;lora_name;strength_model;lora_cache
LoadFlux2TextEncoderModel;model_name;precision
LoadFlux2TransformerModel;model_name;precision
LoadFlux2VAEModel;model_name;precision
LoadFluxControlNet;model_name;controlnet_path
LoadFluxIPAdapter;ipadatper;clip_vision;provider
LoadFramePackModel;model;base_precision;quantization;load_device;attention_mode
LoadInstanceFusersNode;model_filename;fusers_scale
LoadInstancePositionNetModel;model_filename;use_segs
LoadInstanceScaleUNode;model_filename
LoadLBW //Inspire;lbw_model
LoadLotusModel;model;precision
LoadLynxResampler;model_name;precision
LoadModelMeta;checkpoint_name
LoadNLFModel;nlf_model;warmup
LoadQwenImageControlNetInModel;config;model_name
LoadQwenImageControlNetInPipeline;config;model_name;sub_transformer_name
LoadQwenImageLora;lora_name;strength_model;lora_cache
LoadQwenImageTextEncoderModel;model_name;precision
LoadQwenImageTransformerModel;model_name;zero_cond_t;precision
LoadQwenImageVAEModel;model_name;precision
LoadRembgByBiRefNetModel;model;device;use_weight;dtype
LoadTextEncoderShared //Inspire;model_name1;model_name2;model_name3;type;key_opt;mode;device
LoadTheMistoFluxControlNet;model_name
LoadVQGAN;config;model;device
LoadVQVAE;model_name
LoadVaceWanTransformer3DModel;model_name;precision
LoadWan2_2FunLora;lora_name;lora_high_name;strength_model;lora_cache
LoadWan2_2Lora;lora_name;lora_high_name;strength_model;lora_cache
LoadWan2_2TransformerModel;model_name;precision
LoadWanClipEncoderModel;model_name;precision
LoadWanFunLora;lora_name;strength_model;lora_cache
LoadWanLora;lora_name;strength_model;lora_cache
LoadWanTextEncoderModel;model_name;precision
LoadWanTransformerModel;model_name;precision
LoadWanVAEModel;model_name;precision
LoadWanVideoClipTextEncoder;model_name;precision;load_device
LoadWanVideoClipTextEncoderMultiGPU;model_name;precision;device
LoadWanVideoT5TextEncoder;model_name;precision;load_device;quantization
LoadWanVideoT5TextEncoderMultiGPU;model_name;precision;device;quantization
LoadWhisperModel_;model_size;device;compute_type
LoadZImageControlNetInModel;config;model_name
LoadZImageControlNetInPipeline;config;model_name;sub_transformer_name
LoadZImageLora;lora_name;strength_model;lora_cache
LoadZImageTextEncoderModel;model_name;precision
LoadZImageTransformerModel;model_name;precision
LoadZImageVAEModel;model_name;precision
LoaderGGUF;gguf_name
LoaderGGUFAdvanced;gguf_name;dequant_dtype;patch_dtype;patch_on_device
Lora Loader (JPS);switch;lora_name;strength_model;strength_clip
Lora Loader Stack (rgthree);lora_01;strength_01;lora_02;strength_02;lora_03;strength_03;lora_04;strength_04
Lora Loader;lora_name;strength_model;strength_clip
LoraBlockInfo //Inspire;lora_name;block_info
LoraInfo;lora_name
LoraListNames;lora_name
LoraLoaderAdvanced;lora_name;strength_model;strength_clip;force_fetch;enable_preview;append_loraname_if_empty
LoraLoaderBlockWeight //Inspire;category_filter;lora_name;strength_model;strength_clip;inverse;seed;;A;B;preset;block_vector
;bypass
LoraLoaderStackedAdvanced;lora_name;lora_weight;force_fetch;enable_preview;append_loraname_if_empty
LoraLoaderStackedVanilla;lora_name;lora_weight;force_fetch;append_loraname_if_empty
LoraLoaderTagsQuery;lora_name;strength_model;strength_clip;query_tags;tags_out;print_tags;bypass;force_fetch
LoraLoaderVanilla;lora_name;strength_model;strength_clip;force_fetch;append_loraname_if_empty
LoraLoader|pysssss;lora_name;strength_model;strength_clip;prompt
LoraReduceRank;lora_name;new_rank;dynamic_method;dynamic_param;output_dtype;verbose
LoraReduceRankKJ;lora_name;new_rank;dynamic_method;dynamic_param;output_dtype;verbose
LoraRemapStrength;lora_name;reference_strength;target_strength;create_missing_alpha;output_dtype
LoraSmartCombine;lora_1_name;lora_2_name;lora_3_name;lora_4_name;target_rank;blend_weight_1;blend_weight_2;blend_weight_3
;blend_weight_4;alpha_handling;output_dtype;verbose
LoraTagsOnly;lora_name;force_fetch;append_loraname_if_empty
LorasForFluxParams+;lora_1;strength_model_1
LowVRAMAudioVAELoader;ckpt_name
LowVRAMCheckpointLoader;ckpt_name
LowVRAMLatentUpscaleModelLoader;model_name
MMDetDetectorProvider;model_name
MMDetLoader;model_name
MZ_ChatGLM3Loader;chatglm3_checkpoint
MZ_Flux1CheckpointLoaderNF4_cpuDynOffload;ckpt_name;double_blocks_cuda_size;single_blocks_cuda_size
MZ_Flux1CheckpointLoader_cpuDynOffload;ckpt_name;double_blocks_cuda_size;single_blocks_cuda_size
MZ_Flux1UnetLoader_cpuDynOffload;unet_name;weight_dtype;double_blocks_cuda_size;single_blocks_cuda_size
MZ_IPAdapterModelLoaderKolors;ipadapter_file
MZ_KolorsCLIPVisionLoader;clip_name
MZ_KolorsCheckpointLoaderSimple;ckpt_name
MZ_KolorsControlNetLoader;control_net_name
MZ_KolorsUNETLoader;unet_name
MZ_KolorsUNETLoaderV2;unet_name
MakeBasicPipe //Inspire;ckpt_name;ckpt_key_opt;positive_wildcard_text;negative_wildcard_text;Add selection to;Select to add LoRA
;Select to add Wildcard;wildcard_mode;positive_populated_text;negative_populated_text;token_normalization;weight_interpretation
;stop_at_clip_layer;seed;
MakeLBW //Inspire;category_filter;lora_name;inverse;seed;;A;B;preset;block_vector;bypass
MelBandRoFormerModelLoader;model_name
MiaoBiCLIPLoader;clip_name
MiaoBiDiffusersLoader;model_path
Mikey Sampler Base Only Advanced;add_noise;denoise;steps;smooth_step;cfg_1;cfg_2;sampler_name;scheduler;upscale_model;seed;
;upscale_by;hires_denoise;hires_steps
Mikey Sampler Base Only;model_name;seed;;upscale_by;hires_strength;smooth_step
Mikey Sampler Tiled Base Only;model_name;seed;;upscale_by;tiler_denoise
Mikey Sampler Tiled;model_name;seed;;upscale_by;tiler_denoise;tiler_model
Mikey Sampler;model_name;seed;;upscale_by;hires_strength
MikeySamplerTiledAdvanced;model_name;seed;;denoise_image;steps;smooth_step;cfg;sampler_name;scheduler;upscale_by;tiler_denoise
;tiler_model;use_complexity_score
MikeySamplerTiledAdvancedBaseOnly;model_name;seed;;denoise_image;steps;cfg;sampler_name;scheduler;upscale_by;tiler_denoise
;tile_size
MochiModelLoader;model_name;precision;attention_mode;cublas_ops;rms_norm_func
MochiVAEEncoderLoader;model_name;precision
MochiVAELoader;model_name;precision
ModelPreviewOverrideKJ;max_resolution;jpeg_quality;suppress_default_preview;preview_frames;preview_fps;tiny_vae
Model_Preset_pack;ckpt_name;unet_name;clip_name1;clip_name2;clip_name3;clip_vision;control_net_name;style_model_name;loras_name
MultiTalkModelLoader;model
NunchakuFluxDiTLoader;model_path;cache_threshold;attention;cpu_offload;device_id;data_type;i2f_mode
NunchakuFluxLoraLoader;lora_name;lora_strength
NunchakuFluxLoraStack;lora_name_1;lora_strength_1;lora_name_2;lora_strength_2;lora_name_3;lora_strength_3;lora_name_4
;lora_strength_4;lora_name_5;lora_strength_5;lora_name_6;lora_strength_6;lora_name_7;lora_strength_7;lora_name_8;lora_strength_8
;lora_name_9;lora_strength_9;lora_name_10;lora_strength_10;lora_name_11;lora_strength_11;lora_name_12;lora_strength_12
;lora_name_13;lora_strength_13;lora_name_14;lora_strength_14;lora_name_15;lora_strength_15
NunchakuPuLIDLoaderV2;pulid_file;eva_clip_file;insight_face_provider
NunchakuQwenImageDiTLoader;model_name;cpu_offload;num_blocks_on_gpu;use_pin_memory
NunchakuQwenImageLoraLoader;lora_name;lora_strength;cpu_offload;save_precompiled_lora
NunchakuQwenImageLoraStackV2;lora_count;cpu_offload;apply_awq_mod;save_precompiled_lora;lora_name_1;lora_strength_1;lora_name_2
;lora_strength_2;lora_name_3;lora_strength_3;lora_name_4;lora_strength_4;lora_name_5;lora_strength_5;lora_name_6;lora_strength_6
;lora_name_7;lora_strength_7;lora_name_8;lora_strength_8;lora_name_9;lora_strength_9;lora_name_10;lora_strength_10
NunchakuQwenImageLoraStackV3;lora_count;cpu_offload;toggle_all;save_precompiled_lora;enabled_1;lora_name_1;lora_strength_1
;enabled_2;lora_name_2;lora_strength_2;enabled_3;lora_name_3;lora_strength_3;enabled_4;lora_name_4;lora_strength_4;enabled_5
;lora_name_5;lora_strength_5;enabled_6;lora_name_6;lora_strength_6;enabled_7;lora_name_7;lora_strength_7;enabled_8;lora_name_8
;lora_strength_8;enabled_9;lora_name_9;lora_strength_9;enabled_10;lora_name_10;lora_strength_10
NunchakuTextEncoderLoader;model_type;text_encoder1;text_encoder2;t5_min_length;use_4bit_t5;int4_model
NunchakuTextEncoderLoaderV2;model_type;text_encoder1;text_encoder2;t5_min_length
NunchakuZImageTurboLoraStackV4;lora_count;toggle_all;enabled_1;lora_name_1;lora_strength_1;enabled_2;lora_name_2;lora_strength_2
;enabled_3;lora_name_3;lora_strength_3;enabled_4;lora_name_4;lora_strength_4;enabled_5;lora_name_5;lora_strength_5;enabled_6
;lora_name_6;lora_strength_6;enabled_7;lora_name_7;lora_strength_7;enabled_8;lora_name_8;lora_strength_8;enabled_9;lora_name_9
;lora_strength_9;enabled_10;lora_name_10;lora_strength_10
ONNXDetectorProvider;model_name
OTUNetLoaderW8A8;unet_name;weight_dtype;model_type;on_the_fly_quantization
OnnxDetectionModelLoader;vitpose_model;yolo_model;onnx_device
OviMMAudioVAELoader;vae;vocoder;precision
PhotoMakerLoaderPlus;photomaker_model_name
PixArtCheckpointLoader;ckpt_name;model
PixArtCheckpointLoaderSimple;ckpt_name
PixArtLoraLoader;lora_name;strength
PowerPaintCLIPLoader;base;powerpaint
PromptExpansion;model_name;text;seed;;log_prompt
PulidFluxModelLoader;pulid_file
PulidModelLoader;pulid_file
PyramidFlowTransformerLoader;model;precision;enable_sequential_cpu_offload
PyramidFlowVAELoader;vae;precision
QuadrupleCLIPLoaderGGUF;clip_name1;clip_name2;clip_name3;clip_name4
QuadrupleClipLoaderGGUF;clip_name1;clip_name2;clip_name3;clip_name4
QwenLoader;model;load_device;precision
ReActorFaceBoost;enabled;boost_model;interpolation;visibility;codeformer_weight;restore_with_main_after
ReActorFaceSwap;enabled;swap_model;facedetection;face_restore_model;face_restore_visibility;codeformer_weight;detect_gender_input
;detect_gender_source;input_faces_index;source_faces_index;console_log_level
ReActorFaceSwapOpt;enabled;swap_model;facedetection;face_restore_model;face_restore_visibility;codeformer_weight
ReActorLoadFaceModel;face_model
ReActorMaskHelper;bbox_model_name;bbox_threshold;bbox_dilation;bbox_crop_factor;bbox_drop_size;sam_model_name;sam_dilation
;sam_threshold;bbox_expansion;mask_hint_threshold;mask_hint_use_negative;morphology_operation;morphology_distance;blur_radius
;sigma_factor
ReActorRestoreFace;facedetection;model;visibility;codeformer_weight
ReActorRestoreFaceAdvanced;facedetection;model;visibility;codeformer_weight;face_selection;sort_by;reverse_order;take_start
;take_count
RembgNode_Mix;model_name
Ruyi_LoadLora;lora_name;strength_model
SAMLoader;model_name;device_mode
SD35Loader;model_name;weight_dtype;clip_name1;clip_name2_opt;clip_name3_opt;vae_name
SD3ModelSelect;transformer;clip_l;clip_g;t5
SDLoraLoader;lora_name;strength_model;strength_clip
SDLoraSelector;lora_name
SDParameterGenerator;ckpt_name;vae_name;model_version;config_name;seed;;steps;refiner_start;cfg;sampler_name;scheduler
;positive_ascore;negative_ascore;aspect_ratio;width;height;batch_size
SDPromptSaver;filename;path;model_name;vae_name;seed;;steps;cfg;sampler_name;scheduler
SDXLModelSelect;checkpoint
SONICTLoader;sonic_unet;ip_audio_scale;use_interframe;dtype
SUPIR_Upscale;supir_model;sdxl_model;seed;;resize_method;scale_by;steps;restoration_scale;cfg_scale;a_prompt;n_prompt;s_churn
;s_noise;control_scale;cfg_scale_start;control_scale_start;color_fix_type;keep_model_loaded;use_tiled_vae;encoder_tile_size_pixels
;decoder_tile_size_latent;diffusion_dtype;encoder_dtype;batch_size;use_tiled_sampling;sampler_tile_size;sampler_tile_stride
;fp8_unet;fp8_vae;sampler
SUPIR_model_loader;supir_model;sdxl_model;fp8_unet;diffusion_dtype
SUPIR_model_loader_v2;supir_model;fp8_unet;diffusion_dtype;high_vram
SUPIR_model_loader_v2_clip;supir_model;fp8_unet;diffusion_dtype;high_vram
SanaCheckpointLoader;ckpt_name;model
SeargeControlnetModels;clip_vision;canny_checkpoint;depth_checkpoint;recolor_checkpoint;sketch_checkpoint;custom_checkpoint
SeargeInput4;base_model;refiner_model;vae_model;main_upscale_model;support_upscale_model;lora_model
SeargeLoras;lora_1;lora_1_strength;lora_2;lora_2_strength;lora_3;lora_3_strength;lora_4;lora_4_strength;lora_5;lora_5_strength
SeargeModelSelector;base_checkpoint;refiner_checkpoint;vae_checkpoint
SeargeUpscaleModels;detail_processor;high_res_upscaler;primary_upscaler;secondary_upscaler
StableCascade_CheckpointLoader //Inspire;stage_b;key_opt_b;stage_c;key_opt_c;cache_mode
Stack_CN_union3;controlNet;type1_a;type1_b;strength1;start_percent1;end_percent1;type2_a;type2_b;strength2;start_percent2
;end_percent2;type3_a;type3_b;strength3;start_percent3;end_percent3
Stack_CN_union;controlNet;type1;type2;strength;start_percent;end_percent
Stack_ControlNet;controlnet;strength;start_percent;end_percent
Stack_Ksampler_refine;upscale_model;upscale_method;pixls_scale;seed;;denoise;image_output
Stack_LoRA;lora_name_1;weight_1;lora_name_2;weight_2;lora_name_3;weight_3
Stack_Redux;style_model;clip_vision;crop;sharpen;patch_res;style_strength;prompt_strength;blend_mode;noise_level;guidance
Stack_WanAnimateToVideo;clip_vision_name;width;height;length;continue_motion_max_frames;video_frame_offset
Stack_WanCameraImageToVideo;clip_vision_name;width;height;length
Stack_WanFirstLastFrameToVideo;clip_vision_name_start;clip_vision_name_end;width;height;length
Stack_WanFunControlToVideo;clip_vision_name;width;height;length
Stack_WanFunInpaintToVideo;clip_vision_name;width;height;length
Stack_WanImageToVideo;clip_vision_name;width;height;length
Stack_WanTrackToVideo;clip_vision_name;width;height;length;temperature;topk;tracks
Stack_inpaint;control_net;mask_mode;smoothness;strength;start_percent;end_percent
Stack_ksampler_tile;model_name;upscale_by;seed;;denoise_image;tile_size;image_output
StoryDiffusion_Apply;infer_mode;photomake_ckpt;ipadapter_ckpt;quantize_mode;lora_scale;extra_function
T5TextEncoderLoader #ELLA;name;max_length;dtype
T5v11Loader;t5v11_name;t5v11_ver;path_type;device;dtype
TENSORBoost;select_safetensors
TENSORCut;select_safetensors
TensorRTLoader;unet_name;model_type
Tiled Upscaler Script;upscale_by;tile_size;tiling_strategy;tiling_steps;seed;;denoise;use_controlnet;tile_controlnet;strength
TripleCLIPLoaderGGUF;clip_name1;clip_name2;clip_name3
TripleClipLoaderGGUF;clip_name1;clip_name2;clip_name3
TripoSRModelLoader;model;chunk_size
UNETLoaderDisTorch2MultiGPU;unet_name;weight_dtype;compute_device;virtual_vram_gb;donor_device;expert_mode_allocations
;eject_models
UNETLoaderMultiGPU;unet_name;weight_dtype;device
UNetLoaderLP;unet_name
UltraSharkSampler Tiled;add_noise;noise_is_latent;noise_type;alpha;k;noise_seed;;cfg;guide_type;guide_weight;tile_width
;tile_height;tiling_strategy;max_tile_batch_size;clip_name;strength;noise_augment
UltralyticsDetectorProvider;model_name
UnetLoaderGGUF;unet_name
UnetLoaderGGUFAdvanced;unet_name;dequant_dtype;patch_dtype;patch_on_device
Upscale Model Loader;model_name
VAELoaderDisTorch2MultiGPU;vae_name;compute_device;virtual_vram_gb;donor_device;expert_mode_allocations;eject_models
VAELoaderKJ;vae_name;device;weight_dtype
VAELoaderMultiGPU;vae_name;device
VRGDG_MiniMaxH3TurboLoRACompat;lora_name;strength
VRGDG_OptionalMultiLoraModelOnly;use_custom_loras;lora_count;ltx_two_pass_mode;lora_1;strength_1;lora_2;strength_2;lora_3
;strength_3;lora_4;strength_4;lora_5;strength_5;lora_6;strength_6;lora_7;strength_7;lora_8;strength_8;lora_9;strength_9;lora_10
;strength_10;lora_11;strength_11;lora_12;strength_12;lora_13;strength_13;lora_14;strength_14;lora_15;strength_15;lora_16
;strength_16;lora_17;strength_17;lora_18;strength_18;lora_19;strength_19;lora_20;strength_20
VRGDG_OptionalMultiLoraTwoPassStrengths;use_custom_loras;lora_count;lora_1;first_pass_strength_1;second_pass_strength_1;lora_2
;first_pass_strength_2;second_pass_strength_2;lora_3;first_pass_strength_3;second_pass_strength_3;lora_4;first_pass_strength_4
;second_pass_strength_4;lora_5;first_pass_strength_5;second_pass_strength_5;lora_6;first_pass_strength_6;second_pass_strength_6
;lora_7;first_pass_strength_7;second_pass_strength_7;lora_8;first_pass_strength_8;second_pass_strength_8;lora_9
;first_pass_strength_9;second_pass_strength_9;lora_10;first_pass_strength_10;second_pass_strength_10;lora_11
;first_pass_strength_11;second_pass_strength_11;lora_12;first_pass_strength_12;second_pass_strength_12;lora_13
;first_pass_strength_13;second_pass_strength_13;lora_14;first_pass_strength_14;second_pass_strength_14;lora_15
;first_pass_strength_15;second_pass_strength_15;lora_16;first_pass_strength_16;second_pass_strength_16;lora_17
;first_pass_strength_17;second_pass_strength_17;lora_18;first_pass_strength_18;second_pass_strength_18;lora_19
;first_pass_strength_19;second_pass_strength_19;lora_20;first_pass_strength_20;second_pass_strength_20
VRGDG_ZImageWorkflowRunnerUI;workflow_path;save_folder;prompt;first_pass_width;first_pass_height;second_pass_width
;second_pass_height;batch_size;use_custom_loras;lora_count;ltx_two_pass_mode;lora_1;first_pass_strength_1;second_pass_strength_1
;lora_2;first_pass_strength_2;second_pass_strength_2;lora_3;first_pass_strength_3;second_pass_strength_3;lora_4
;first_pass_strength_4;second_pass_strength_4;lora_5;first_pass_strength_5;second_pass_strength_5;lora_6;first_pass_strength_6
;second_pass_strength_6;lora_7;first_pass_strength_7;second_pass_strength_7;lora_8;first_pass_strength_8;second_pass_strength_8
;lora_9;first_pass_strength_9;second_pass_strength_9;lora_10;first_pass_strength_10;second_pass_strength_10;lora_11
;first_pass_strength_11;second_pass_strength_11;lora_12;first_pass_strength_12;second_pass_strength_12;lora_13
;first_pass_strength_13;second_pass_strength_13;lora_14;first_pass_strength_14;second_pass_strength_14;lora_15
;first_pass_strength_15;second_pass_strength_15;lora_16;first_pass_strength_16;second_pass_strength_16;lora_17
;first_pass_strength_17;second_pass_strength_17;lora_18;first_pass_strength_18;second_pass_strength_18;lora_19
;first_pass_strength_19;second_pass_strength_19;lora_20;first_pass_strength_20;second_pass_strength_20
VaeGGUF;vae_name
VideoTextEncodeCached_KJ;model_name;precision;positive_prompt;negative_prompt;quantization;use_disk_cache;device;skip_cpu
WanAnimatePlus LoraSelectMulti;lora_0;strength_0;lora_1;strength_1;lora_2;strength_2;lora_3;strength_3;lora_4;strength_4
;low_mem_load;merge_loras
WanAnimatePlus ModelLoader;model;base_precision;quantization;load_device;attention_mode;rms_norm_function
WanAnimatePlus TextEncodeCached;model_name;precision;positive_prompt;negative_prompt;quantization;use_disk_cache;device
WanAnimatePlus Uni3C ControlnetLoader;model;base_precision;quantization;load_device;attention_mode
WanAnimatePlus VAELoader;model_name;precision;use_cpu_cache;verbose
WanVideoControlnetLoader;model;base_precision;quantization;load_device
WanVideoControlnetLoaderMultiGPU;model;base_precision;quantization;load_device;device
WanVideoExtraModelSelect;extra_model
WanVideoFlashVSRDecoderLoader;model_name;precision
WanVideoLoraSelect;lora;strength;low_mem_load;merge_loras
WanVideoLoraSelectMulti;lora_0;strength_0;lora_1;strength_1;lora_2;strength_2;lora_3;strength_3;lora_4;strength_4;low_mem_load
;merge_loras
WanVideoModelLoader;model;base_precision;quantization;load_device;attention_mode;rms_norm_function
WanVideoModelLoaderMultiGPU;model;base_precision;quantization;load_device;compute_device;attention_mode;rms_norm_function
WanVideoPromptExtenderSelect;model;max_new_tokens;system_prompt;seed;
WanVideoTextEncodeCached;model_name;precision;positive_prompt;negative_prompt;quantization;use_disk_cache;device
WanVideoTextEncodeCachedMultiGPU;model_name;precision;positive_prompt;negative_prompt;quantization;use_disk_cache;load_device
WanVideoTinyVAELoader;model_name;precision;parallel
WanVideoTinyVAELoaderMultiGPU;model_name;load_device;precision;parallel
WanVideoUni3C_ControlnetLoader;model;base_precision;quantization;load_device;attention_mode
WanVideoUni3C_ControlnetLoaderMultiGPU;model;base_precision;quantization;load_device;device;attention_mode
WanVideoVACEModelSelect;vace_model
WanVideoVAELoader;model_name;precision;use_cpu_cache;verbose
WanVideoVAELoaderMultiGPU;model_name;load_device;precision
Wav2VecModelLoader;model;base_precision;load_device
Wav2VecModelLoaderMultiGPU;model;base_precision;load_device;device
WhisperModelLoader;model;base_precision;load_device
XY Input: Checkpoint;target_ckpt;input_mode;batch_path;subdirectories;batch_sort;batch_max;ckpt_count;ckpt_name_1;clip_skip_1
;vae_name_1;ckpt_name_2;clip_skip_2;vae_name_2;ckpt_name_3;clip_skip_3;vae_name_3;ckpt_name_4;clip_skip_4;vae_name_4;ckpt_name_5
;clip_skip_5;vae_name_5;ckpt_name_6;clip_skip_6;vae_name_6;ckpt_name_7;clip_skip_7;vae_name_7;ckpt_name_8;clip_skip_8;vae_name_8
;ckpt_name_9;clip_skip_9;vae_name_9;ckpt_name_10;clip_skip_10;vae_name_10;ckpt_name_11;clip_skip_11;vae_name_11;ckpt_name_12
;clip_skip_12;vae_name_12;ckpt_name_13;clip_skip_13;vae_name_13;ckpt_name_14;clip_skip_14;vae_name_14;ckpt_name_15;clip_skip_15
;vae_name_15;ckpt_name_16;clip_skip_16;vae_name_16;ckpt_name_17;clip_skip_17;vae_name_17;ckpt_name_18;clip_skip_18;vae_name_18
;ckpt_name_19;clip_skip_19;vae_name_19;ckpt_name_20;clip_skip_20;vae_name_20;ckpt_name_21;clip_skip_21;vae_name_21;ckpt_name_22
;clip_skip_22;vae_name_22;ckpt_name_23;clip_skip_23;vae_name_23;ckpt_name_24;clip_skip_24;vae_name_24;ckpt_name_25;clip_skip_25
;vae_name_25;ckpt_name_26;clip_skip_26;vae_name_26;ckpt_name_27;clip_skip_27;vae_name_27;ckpt_name_28;clip_skip_28;vae_name_28
;ckpt_name_29;clip_skip_29;vae_name_29;ckpt_name_30;clip_skip_30;vae_name_30;ckpt_name_31;clip_skip_31;vae_name_31;ckpt_name_32
;clip_skip_32;vae_name_32;ckpt_name_33;clip_skip_33;vae_name_33;ckpt_name_34;clip_skip_34;vae_name_34;ckpt_name_35;clip_skip_35
;vae_name_35;ckpt_name_36;clip_skip_36;vae_name_36;ckpt_name_37;clip_skip_37;vae_name_37;ckpt_name_38;clip_skip_38;vae_name_38
;ckpt_name_39;clip_skip_39;vae_name_39;ckpt_name_40;clip_skip_40;vae_name_40;ckpt_name_41;clip_skip_41;vae_name_41;ckpt_name_42
;clip_skip_42;vae_name_42;ckpt_name_43;clip_skip_43;vae_name_43;ckpt_name_44;clip_skip_44;vae_name_44;ckpt_name_45;clip_skip_45
;vae_name_45;ckpt_name_46;clip_skip_46;vae_name_46;ckpt_name_47;clip_skip_47;vae_name_47;ckpt_name_48;clip_skip_48;vae_name_48
;ckpt_name_49;clip_skip_49;vae_name_49;ckpt_name_50;clip_skip_50;vae_name_50
XY Input: LoRA Plot;input_mode;lora_name;model_strength;clip_strength;X_batch_count;X_batch_path;X_subdirectories;X_batch_sort
;X_first_value;X_last_value;Y_batch_count;Y_first_value;Y_last_value
XY Input: LoRA;input_mode;batch_path;subdirectories;batch_sort;batch_max;lora_count;model_strength;clip_strength;lora_name_1
;model_str_1;clip_str_1;lora_name_2;model_str_2;clip_str_2;lora_name_3;model_str_3;clip_str_3;lora_name_4;model_str_4;clip_str_4
;lora_name_5;model_str_5;clip_str_5;lora_name_6;model_str_6;clip_str_6;lora_name_7;model_str_7;clip_str_7;lora_name_8;model_str_8
;clip_str_8;lora_name_9;model_str_9;clip_str_9;lora_name_10;model_str_10;clip_str_10;lora_name_11;model_str_11;clip_str_11
;lora_name_12;model_str_12;clip_str_12;lora_name_13;model_str_13;clip_str_13;lora_name_14;model_str_14;clip_str_14;lora_name_15
;model_str_15;clip_str_15;lora_name_16;model_str_16;clip_str_16;lora_name_17;model_str_17;clip_str_17;lora_name_18;model_str_18
;clip_str_18;lora_name_19;model_str_19;clip_str_19;lora_name_20;model_str_20;clip_str_20;lora_name_21;model_str_21;clip_str_21
;lora_name_22;model_str_22;clip_str_22;lora_name_23;model_str_23;clip_str_23;lora_name_24;model_str_24;clip_str_24;lora_name_25
;model_str_25;clip_str_25;lora_name_26;model_str_26;clip_str_26;lora_name_27;model_str_27;clip_str_27;lora_name_28;model_str_28
;clip_str_28;lora_name_29;model_str_29;clip_str_29;lora_name_30;model_str_30;clip_str_30;lora_name_31;model_str_31;clip_str_31
;lora_name_32;model_str_32;clip_str_32;lora_name_33;model_str_33;clip_str_33;lora_name_34;model_str_34;clip_str_34;lora_name_35
;model_str_35;clip_str_35;lora_name_36;model_str_36;clip_str_36;lora_name_37;model_str_37;clip_str_37;lora_name_38;model_str_38
;clip_str_38;lora_name_39;model_str_39;clip_str_39;lora_name_40;model_str_40;clip_str_40;lora_name_41;model_str_41;clip_str_41
;lora_name_42;model_str_42;clip_str_42;lora_name_43;model_str_43;clip_str_43;lora_name_44;model_str_44;clip_str_44;lora_name_45
;model_str_45;clip_str_45;lora_name_46;model_str_46;clip_str_46;lora_name_47;model_str_47;clip_str_47;lora_name_48;model_str_48
;clip_str_48;lora_name_49;model_str_49;clip_str_49;lora_name_50;model_str_50;clip_str_50
XY Input: Lora Block Weight //Inspire;category_filter;lora_name;strength_model;strength_clip;inverse;seed;;A;B;preset
;block_vectors;heatmap_palette;heatmap_alpha;heatmap_strength;xyplot_mode
XY Input: VAE;input_mode;batch_path;subdirectories;batch_sort;batch_max;vae_count;vae_name_1;vae_name_2;vae_name_3;vae_name_4
;vae_name_5;vae_name_6;vae_name_7;vae_name_8;vae_name_9;vae_name_10;vae_name_11;vae_name_12;vae_name_13;vae_name_14;vae_name_15
;vae_name_16;vae_name_17;vae_name_18;vae_name_19;vae_name_20;vae_name_21;vae_name_22;vae_name_23;vae_name_24;vae_name_25
;vae_name_26;vae_name_27;vae_name_28;vae_name_29;vae_name_30;vae_name_31;vae_name_32;vae_name_33;vae_name_34;vae_name_35
;vae_name_36;vae_name_37;vae_name_38;vae_name_39;vae_name_40;vae_name_41;vae_name_42;vae_name_43;vae_name_44;vae_name_45
;vae_name_46;vae_name_47;vae_name_48;vae_name_49;vae_name_50
chx_IPA_adv;ipadapter_file;clip_vision;weight;weight_type;combine_embeds;start_at;end_at;embeds_scaling
chx_IPA_faceID_adv;ipadapter_file;clip_vision;insightface;weight;weight_faceidv2;weight_type;combine_embeds;start_at;end_at
;embeds_scaling
chx_Ksampler_refine;upscale_model;seed;;denoise;image_output
chx_YC_LG_Redux;style_model;clip_vision;crop;sharpen;patch_res;style_strength;prompt_strength;blend_mode;noise_level;guidance
chx_ksampler_tile;model_name;upscale_by;seed;;denoise_image;tile_size;image_output
easy LLLiteLoader;model_name;strength;steps;start_percent;end_percent
easy XYInputs: Checkpoint;input_mode;ckpt_count;ckpt_name_1;clip_skip_1;vae_name_1;ckpt_name_2;clip_skip_2;vae_name_2;ckpt_name_3
;clip_skip_3;vae_name_3;ckpt_name_4;clip_skip_4;vae_name_4;ckpt_name_5;clip_skip_5;vae_name_5;ckpt_name_6;clip_skip_6;vae_name_6
;ckpt_name_7;clip_skip_7;vae_name_7;ckpt_name_8;clip_skip_8;vae_name_8;ckpt_name_9;clip_skip_9;vae_name_9;ckpt_name_10
;clip_skip_10;vae_name_10
easy XYInputs: ControlNet;control_net_name;target_parameter;batch_count;first_strength;last_strength;first_start_percent
;last_start_percent;first_end_percent;last_end_percent;strength;start_percent;end_percent
easy XYInputs: Lora;input_mode;lora_count;model_strength;clip_strength;lora_name_1;model_str_1;clip_str_1;lora_name_2;model_str_2
;clip_str_2;lora_name_3;model_str_3;clip_str_3;lora_name_4;model_str_4;clip_str_4;lora_name_5;model_str_5;clip_str_5;lora_name_6
;model_str_6;clip_str_6;lora_name_7;model_str_7;clip_str_7;lora_name_8;model_str_8;clip_str_8;lora_name_9;model_str_9;clip_str_9
;lora_name_10;model_str_10;clip_str_10;display_trigger_word
easy XYInputs: ModelMergeBlocks;ckpt_name_1;ckpt_name_2;vae_use;preset;values
easy a1111Loader;ckpt_name;vae_name;clip_skip;lora_name;lora_model_strength;lora_clip_strength;resolution;empty_latent_width
;empty_latent_height;positive;negative;batch_size;a1111_prompt_style
easy applyBrushNet;brushnet;dtype;scale;start_at;end_at
easy applyPowerPaint;powerpaint_model;powerpaint_clip;dtype;fitting;function;scale;start_at;end_at;save_memory
easy cascadeLoader;stage_c;stage_b;stage_a;clip_name;lora_name;lora_model_strength;lora_clip_strength;resolution
;empty_latent_width;empty_latent_height;compression;positive;negative;batch_size
easy ckptNames;ckpt_name
easy comfyLoader;ckpt_name;vae_name;clip_skip;lora_name;lora_model_strength;lora_clip_strength;resolution;empty_latent_width
;empty_latent_height;positive;negative;batch_size
easy controlnetLoader++;control_net_name;strength;start_percent;end_percent;scale_soft_weights;union_type
easy controlnetLoader;control_net_name;strength;scale_soft_weights
easy controlnetLoaderADV;control_net_name;strength;start_percent;end_percent;scale_soft_weights
easy controlnetNames;controlnet_name
easy controlnetStack;toggle;mode;num_controlnet;controlnet_1;controlnet_1_strength;start_percent_1;end_percent_1
;scale_soft_weight_1;controlnet_2;controlnet_2_strength;start_percent_2;end_percent_2;scale_soft_weight_2;controlnet_3
;controlnet_3_strength;start_percent_3;end_percent_3;scale_soft_weight_3
easy fluxLoader;ckpt_name;vae_name;lora_name;lora_model_strength;lora_clip_strength;resolution;empty_latent_width
;empty_latent_height;positive;batch_size
easy fullCascadeKSampler;encode_vae_name;decode_vae_name;steps;cfg;sampler_name;scheduler;denoise;image_output;link_id;save_prefix
;seed;
easy fullLoader;ckpt_name;config_name;vae_name;clip_skip;lora_name;lora_model_strength;lora_clip_strength;resolution
;empty_latent_width;empty_latent_height;positive;positive_token_normalization;positive_weight_interpretation;negative
;negative_token_normalization;negative_weight_interpretation;batch_size;a1111_prompt_style
easy hiresFix;model_name;rescale_after_model;rescale_method;rescale;percent;width;height;longer_side;crop;image_output;link_id
;save_prefix
easy hunyuanDiTLoader;ckpt_name;vae_name;lora_name;lora_model_strength;lora_clip_strength;resolution;empty_latent_width
;empty_latent_height;positive;negative;batch_size
easy instantIDApply;instantid_file;insightface;control_net_name;cn_strength;cn_soft_weights;weight;start_at;end_at;noise
easy instantIDApplyADV;instantid_file;insightface;control_net_name;cn_strength;cn_soft_weights;weight;start_at;end_at;noise
easy kolorsLoader;unet_name;vae_name;chatglm3_name;lora_name;lora_model_strength;lora_clip_strength;resolution;empty_latent_width
;empty_latent_height;positive;negative;batch_size;auto_clean_gpu
easy loraNames;lora_name
easy loraStack;toggle;mode;num_loras;lora_1_name;lora_1_strength;lora_1_model_strength;lora_1_clip_strength;lora_2_name
;lora_2_strength;lora_2_model_strength;lora_2_clip_strength;lora_3_name;lora_3_strength;lora_3_model_strength;lora_3_clip_strength
;lora_4_name;lora_4_strength;lora_4_model_strength;lora_4_clip_strength;lora_5_name;lora_5_strength;lora_5_model_strength
;lora_5_clip_strength;lora_6_name;lora_6_strength;lora_6_model_strength;lora_6_clip_strength;lora_7_name;lora_7_strength
;lora_7_model_strength;lora_7_clip_strength;lora_8_name;lora_8_strength;lora_8_model_strength;lora_8_clip_strength;lora_9_name
;lora_9_strength;lora_9_model_strength;lora_9_clip_strength;lora_10_name;lora_10_strength;lora_10_model_strength
;lora_10_clip_strength
easy loraSwitcher;toggle;select;num_loras;lora_strength;lora_1_name;lora_2_name;lora_3_name;lora_4_name;lora_5_name;lora_6_name
;lora_7_name;lora_8_name;lora_9_name;lora_10_name;lora_11_name;lora_12_name;lora_13_name;lora_14_name;lora_15_name;lora_16_name
;lora_17_name;lora_18_name;lora_19_name;lora_20_name;lora_21_name;lora_22_name;lora_23_name;lora_24_name;lora_25_name;lora_26_name
;lora_27_name;lora_28_name;lora_29_name;lora_30_name;lora_31_name;lora_32_name;lora_33_name;lora_34_name;lora_35_name;lora_36_name
;lora_37_name;lora_38_name;lora_39_name;lora_40_name;lora_41_name;lora_42_name;lora_43_name;lora_44_name;lora_45_name;lora_46_name
;lora_47_name;lora_48_name;lora_49_name;lora_50_name
easy mochiLoader;ckpt_name;vae_name;positive;negative;resolution;empty_latent_width;empty_latent_height;length;batch_size
easy pixArtLoader;ckpt_name;model_name;vae_name;t5_type;clip_name;padding;t5_name;device;dtype;lora_name;lora_model_strength;ratio
;empty_latent_width;empty_latent_height;positive;negative;batch_size
easy preSamplingCascade;encode_vae_name;decode_vae_name;steps;cfg;sampler_name;scheduler;denoise;seed;
easy pulIDApply;pulid_file;insightface;method;weight;start_at;end_at
easy pulIDApplyADV;pulid_file;insightface;weight;projection;fidelity;noise;start_at;end_at
easy samLoaderPipe;model_name;device_mode;sam_detection_hint;sam_dilation;sam_threshold;sam_bbox_expansion;sam_mask_hint_threshold
;sam_mask_hint_use_negative
easy sv3dLoader;ckpt_name;vae_name;empty_latent_width;empty_latent_height;batch_size;interp_easing;easing_mode;scheduler
easy svdLoader;ckpt_name;vae_name;clip_name;resolution;empty_latent_width;empty_latent_height;video_frames;motion_bucket_id;fps
;augmentation_level;optional_positive;optional_negative
easy ultralyticsDetectorPipe;model_name;bbox_threshold;bbox_dilation;bbox_crop_factor
easy zero123Loader;ckpt_name;vae_name;empty_latent_width;empty_latent_height;batch_size;elevation;azimuth
load_GGUF;unet_name
load_Nanchaku;preset;unet_name;cache_threshold;attention;cpu_offload;clip1;clip2;guidance;vae;lora;lora_strength;width;height
;steps;cfg;sampler;scheduler;pos
mask_sam_detctor;threshold;refine_iterations;individual_masks;ckpt_name;pos;ui_positive_coords;ui_negative_coords;ui_bboxes_json
pre_ZImageInpaint_patch;controlnet;strength;diffDiffusion;smoothness
pre_controlnet;controlnet1;strength1;start_percent1;end_percent1;controlnet2;strength2;start_percent2;end_percent2;controlnet3
;strength3;start_percent3;end_percent3
pre_controlnet_union;controlNet;type1;strength1;start_percent1;end_percent1;type2;strength2;start_percent2;end_percent2
;dual_type_1;dual_type_2;strength3;start_percent3;end_percent3
pre_inpaint_sum;control_net;mask_mode;smoothness;strength;start_percent;end_percent
pre_qwen_controlnet;controlnet1;strength1;controlnet2;strength2;controlnet3;strength3
sampler_DynamicTileSplit;upscale_model;width_factor;height_factor;overlap_rate;use_fixed_size;tile_width;tile_height
sum_create_chx;vae;width;height;batch;steps;cfg;sampler;scheduler;guidance;pos;neg
sum_load_MiniMaxH3;unet_name;unet_Weight_Dtype;clip_type;clip1;vae;audio_vae;steps;cfg;sampler;scheduler
sum_load_adv;preset;ckpt_name;unet_name;unet_Weight_Dtype;clip_type;clip1;clip2;guidance;clip3;clip4;vae;lora;lora_strength;width
;height;steps;cfg;sampler;scheduler;pos;neg
sum_load_simple;ckpt_name;unet_name;unet_Weight_Dtype;clip_type;clip1;clip2;vae;lora;lora_strength;width;height;steps;cfg;sampler
;scheduler
sum_lora;lora_01;strength_01;lora_02;strength_02;lora_03;strength_03;pos;neg;style
ttN KSampler_v2;lora_name;lora_strength;upscale_method;upscale_model_name;factor;rescale;percent;width;height;longer_side;crop
;steps;cfg;sampler_name
ttN hiresfixScale;model_name;rescale_after_model;rescale_method;rescale;percent;width;height;longer_side;crop;image_output
;save_prefix;output_latent
ttN multiModelMerge;ckpt_A_name;config_A_name;ckpt_B_name;config_B_name;ckpt_C_name;config_C_name;model_interpolation
;model_multiplier;clip_interpolation;clip_multiplier
ttN pipeKSampler;lora_name;lora_model_strength;lora_clip_strength;upscale_method;factor;crop;sampler_state;steps;cfg;sampler_name
;scheduler;denoise;image_output;save_prefix;seed;
ttN pipeKSamplerAdvanced;lora_name;lora_model_strength;lora_clip_strength;upscale_method;factor;crop;sampler_state;add_noise;steps
;cfg;sampler_name;scheduler;start_at_step;end_at_step;return_with_leftover_noise;image_output;save_prefix;noise_seed;
ttN pipeKSamplerAdvanced_v2;lora_name;lora_strength;upscale_method;upscale_model_name;factor;rescale;percent;width;height
;longer_side;crop;add_noise;noise;steps;start_at_step;end_at_step;cfg;sampler_name
ttN pipeKSamplerSDXL_v2;lora_name;lora_strength;upscale_method;upscale_model_name;factor;rescale;percent;width;height;longer_side
;crop;base_steps;cfg;denoise;refiner_steps;refiner_cfg;refiner_denoise;sampler_name
ttN pipeKSampler_v2;lora_name;lora_strength;upscale_method;upscale_model_name;factor;rescale;percent;width;height;longer_side;crop
;steps;cfg;sampler_name
ttN pipeLoader;ckpt_name;config_name;vae_name;clip_skip;lora1_name;lora1_model_strength;lora1_clip_strength;lora2_name
;lora2_model_strength;lora2_clip_strength;lora3_name;lora3_model_strength;lora3_clip_strength;positive
;positive_token_normalization;positive_weight_interpretation;negative;negative_token_normalization;negative_weight_interpretation
;empty_latent_width;empty_latent_height;batch_size;seed;
ttN pipeLoaderSDXL;ckpt_name;vae_name;lora1_name;lora1_model_strength;lora1_clip_strength;lora2_name;lora2_model_strength
;lora2_clip_strength;refiner_ckpt_name;refiner_vae_name;refiner_lora1_name;refiner_lora1_model_strength
;refiner_lora1_clip_strength;refiner_lora2_name;refiner_lora2_model_strength;refiner_lora2_clip_strength;clip_skip;positive
;positive_token_normalization;positive_weight_interpretation;negative;negative_token_normalization;negative_weight_interpretation
;empty_latent_width;empty_latent_height;batch_size;seed;
ttN pipeLoaderSDXL_v2;ckpt_name;config_name;vae_name;clip_skip;loras;refiner_ckpt_name;refiner_config_name;positive_g;positive_l
;negative_g;negative_l;conditioning_aspect;conditioning_width;conditioning_height;crop_width;crop_height;target_aspect
;target_width;target_height;positive_ascore;negative_ascore;empty_latent_aspect;empty_latent_width;empty_latent_height;batch_size
;seed;
ttN pipeLoader_v2;ckpt_name;config_name;vae_name;clip_skip;loras;positive;positive_token_normalization
;positive_weight_interpretation;negative;negative_token_normalization;negative_weight_interpretation;empty_latent_aspect
;empty_latent_width;empty_latent_height;batch_size;seed;
ttN pipeLoraStack;toggle;mode;num_loras;lora_1_name;lora_1_strength;lora_1_model_strength;lora_1_clip_strength;lora_2_name
;lora_2_strength;lora_2_model_strength;lora_2_clip_strength;lora_3_name;lora_3_strength;lora_3_model_strength;lora_3_clip_strength
;lora_4_name;lora_4_strength;lora_4_model_strength;lora_4_clip_strength;lora_5_name;lora_5_strength;lora_5_model_strength
;lora_5_clip_strength;lora_6_name;lora_6_strength;lora_6_model_strength;lora_6_clip_strength;lora_7_name;lora_7_strength
;lora_7_model_strength;lora_7_clip_strength;lora_8_name;lora_8_strength;lora_8_model_strength;lora_8_clip_strength;lora_9_name
;lora_9_strength;lora_9_model_strength;lora_9_clip_strength;lora_10_name;lora_10_strength;lora_10_model_strength
;lora_10_clip_strength;lora_11_name;lora_11_strength;lora_11_model_strength;lora_11_clip_strength;lora_12_name;lora_12_strength
;lora_12_model_strength;lora_12_clip_strength;lora_13_name;lora_13_strength;lora_13_model_strength;lora_13_clip_strength
;lora_14_name;lora_14_strength;lora_14_model_strength;lora_14_clip_strength;lora_15_name;lora_15_strength;lora_15_model_strength
;lora_15_clip_strength;lora_16_name;lora_16_strength;lora_16_model_strength;lora_16_clip_strength;lora_17_name;lora_17_strength
;lora_17_model_strength;lora_17_clip_strength;lora_18_name;lora_18_strength;lora_18_model_strength;lora_18_clip_strength
;lora_19_name;lora_19_strength;lora_19_model_strength;lora_19_clip_strength;lora_20_name;lora_20_strength;lora_20_model_strength
;lora_20_clip_strength
ttN tinyLoader;ckpt_name;config_name;sampling;zsnr;cfg_rescale_mult;vae_name;clip_skip;empty_latent_aspect;empty_latent_width
;empty_latent_height;batch_size
unCLIP Checkpoint Loader;ckpt_name
"""

# Class;why its values are no files to bring: the node fetches them itself.
_AUTO = """\
AD_FILM_VFI;ckpt_name is chosen from names that the class lists
AILab_Florence2;downloads what model_name says
AILab_HuggingFaceDownloader;downloads from a hub
AILab_LamaRemover;downloads from a hub
AILab_QwenVL_GGUF;downloads what model_name says
AILab_QwenVL_GGUF_Advanced;downloads what model_name says
AILab_QwenVL_GGUF_PromptEnhancer;downloads what model_name says
AILab_SDMatte;downloads what model says
AI_Ollama_image;downloads what model_name says
AI_Ollama_text;downloads what model_name says
AI_Qwen;downloads what model says
AI_Qwen_text;downloads what llm_model says
AMT VFI;ckpt_name is chosen from names that the class lists
ATM VFI;ckpt_name is chosen from names that the class lists
AnimalPosePreprocessor;bbox_detector is chosen from names that the class lists
AutoDownloadBiRefNetModel;downloads what model_name says
BatchCLIPSeg;downloads from a hub
BiRefNetRMBG;downloads what model says
Bjornulf_HuggingFaceDownloader;downloads from a hub
BodySegment;downloads from a hub
CAIN VFI;ckpt_name is chosen from names that the class lists
ClothesSegment;downloads from a hub
DA3_DownloadModel;model is chosen from names that the class lists
DWPreprocessor;bbox_detector is chosen from names that the class lists
DWPreprocessor_Provider_for_SEGS //Inspire;bbox_detector is chosen from names that the class lists
DensePosePreprocessor;model is chosen from names that the class lists
DepthAnythingPreprocessor;ckpt_name is chosen from names that the class lists
DepthAnythingV2Preprocessor;ckpt_name is chosen from names that the class lists
Diffusers Hub Model Down-Loader;downloads from a hub
DiffusersMVModelMakeup;adapter_name is chosen from names that the class lists
DownloadAndLoadBlip;model_name is chosen from names that the class lists
DownloadAndLoadCCSRModel;model is chosen from names that the class lists
DownloadAndLoadCLIPModel;model is chosen from names that the class lists
DownloadAndLoadCLIPSeg;downloads what it loads
DownloadAndLoadCLIPVisionModel;model is chosen from names that the class lists
DownloadAndLoadChatGLM3;downloads what it loads
DownloadAndLoadCogVideoControlNet;downloads what it loads
DownloadAndLoadCogVideoGGUFModel;model is chosen from names that the class lists
DownloadAndLoadCogVideoModel;downloads what it loads
DownloadAndLoadDepthAnythingV2Model;model is chosen from names that the class lists
DownloadAndLoadDynamiCrafterCNModel;model is chosen from names that the class lists
DownloadAndLoadDynamiCrafterModel;model is chosen from names that the class lists
DownloadAndLoadFlorence2Lora;downloads what it loads
DownloadAndLoadFlorence2Model;downloads what it loads
DownloadAndLoadFramePackModel;downloads what it loads
DownloadAndLoadGIMMVFIModel;model is chosen from names that the class lists
DownloadAndLoadGemmaModel;downloads what it loads
DownloadAndLoadHy3DDelightModel;downloads what it loads
DownloadAndLoadHy3DPaintModel;downloads what it loads
DownloadAndLoadHyVideoTextEncoder;downloads what it loads
DownloadAndLoadKolorsModel;downloads what it loads
DownloadAndLoadLivePortraitModels;downloads what it loads
DownloadAndLoadLuminaModel;downloads what it loads
DownloadAndLoadMimicMotionModel;model is chosen from names that the class lists
DownloadAndLoadMochiModel;model is chosen from names that the class lists
DownloadAndLoadNLFModel;url is chosen from names that the class lists
DownloadAndLoadSAM2Model;model is chosen from names that the class lists
DownloadAndLoadToraModel;downloads what it loads
DownloadAndLoadWav2VecModel;downloads what it loads
DownloadAndLoadWav2VecModelMultiGPU;downloads what it loads
DownloadISNetModel;model_name is chosen from names that the class lists
DownloadInstanceDiffusionModels;downloads what it loads
DownloadOpenUnmixModel;downloads what it loads
FILM VFI;ckpt_name is chosen from names that the class lists
FLAVR VFI;ckpt_name is chosen from names that the class lists
FL_HFDatasetDownloader;downloads from a hub
FL_RIFE;downloads what ckpt_name says
FL_Veo3VideoGen;downloads what model says
FaceSegment;downloads from a hub
FashionSegmentClothing;downloads from a hub
Florence2;downloads what model says
GMFSS Fortuna VFI;downloads what ckpt_name says
GemmaLoader;downloads what model_name says
GroundingDinoModelLoader (segment anything);downloads what model_name says
GroundingDinoModelLoader (segment anything2);downloads what model_name says
HFHubEmbeddingLoader;downloads from a hub
HFHubLoraLoader;downloads from a hub
Humans4DLoader;detector is chosen from names that the class lists
IFRNet VFI;ckpt_name is chosen from names that the class lists
IFUnet VFI;ckpt_name is chosen from names that the class lists
Image Rembg (Remove Background);downloads what model says
LTXVPromptEnhancerLoader;downloads from a hub
LatentUpscaler;downloads from a hub
LayerMask: LoadBiRefNetModelV2;downloads what version says
LayerMask: LoadFlorence2Model;downloads what version says
LayerMask: LoadSAM2Model;sam2_model is chosen from names that the class lists
LayerMask: SAM2Ultra;sam2_model is chosen from names that the class lists
LayerMask: SAM2VideoUltra;sam2_model is chosen from names that the class lists
LayerUtility: JoyCaption2;downloads what llm_model says
LayerUtility: LlamaVision;downloads what model says
LayerUtility: LoadJoyCaption2Model;downloads what llm_model says
LayerUtility: LoadSmolLM2Model;downloads what model says
LayerUtility: LoadSmolVLMModel;downloads what model says
LayerUtility: LoadVQAModel;downloads what model says
LegacyModernVLM;downloads what model says
LivePortraitLoadFaceAlignmentCropper;downloads what face_detector says
LoadCogVideoXFunModel;downloads what model says
LoadFlux2Model;downloads what model says
LoadLaMaModel;model_name is chosen from names that the class lists
LoadQwenImageModel;downloads what model says
LoadSALADModel;downloads from a hub
LoadZImageModel;downloads what model says
M2M VFI;ckpt_name is chosen from names that the class lists
MOMO VFI;ckpt_name is chosen from names that the class lists
MarigoldDepthEstimation;downloads what model says
MarigoldDepthEstimationVideo;downloads what model says
MarigoldModelLoader;downloads what model says
Mask_Remove_bg2;downloads what model says
MiDaS Mask Image;downloads what midas_model says
MiDaS Model Loader;downloads what midas_model says
MimicMotionGetPoses;downloads from a hub
MiniCPM_VQA_Simple;downloads from a hub
ModernVLM;downloads what model says
MolmoNode;downloads what model_name says
Paligemma;downloads what model_id says
PhotoMakerAdapter_Loader_fromhub;downloads from a hub
Qwen2VLNode;downloads what model_name says
RIFE VFI;ckpt_name is chosen from names that the class lists
RMBG;downloads what model says
Ruyi_LoadModel;downloads what model says
SAM Model Loader;downloads what model_size says
SAM2ModelLoader (segment anything2);model_name is chosen from names that the class lists
SAM2Segment;downloads what sam2_model says
SAMModelLoader (segment anything);downloads what model_name says
STMFNet VFI;ckpt_name is chosen from names that the class lists
SeedVR2LoadDiTModel;model is chosen from names that the class lists
Segment;downloads what sam_model says
SegmentV2;downloads what sam_model says
Sepconv VFI;ckpt_name is chosen from names that the class lists
StoryDiffusion_CLIPTextEncode;downloads from a hub
Superprompt;downloads from a hub
Trellis2LoadModel;downloads what modelname says
Unimatch_OptFlowPreprocessor;ckpt_name is chosen from names that the class lists
VLMOpenVocabularyDetection;downloads what model says
VLMSAM2VideoSegmentation;downloads what model says
VRGDG_GeneralGGUF;downloads from a hub
VRGDG_LLM_Multi;downloads what model says
VRGDG_NanoBananaPro;downloads what model says
VRGDG_Qwen3.5;downloads from a hub
WanVideoUniAnimateDWPoseDetector;downloads from a hub
easy humanSegmentation;downloads from a hub
easy imageRemBg;downloads from a hub
mgpt_model_loader;downloads what model says
"""

# Node type that only the pack's script in the browser knows;the pack.
_FRONTEND_ONLY = """\
0246.CastReroute;Trung0246/ComfyUI-0246
0246.Test;Trung0246/ComfyUI-0246
Bookmark (rgthree);rgthree/rgthree-comfy
ComfyDeploy;BennyKok/comfyui-deploy
ComponentInputOptional;ltdrdata/ComfyUI-Workflow-Component
Constant (mtb);melMass/comfy_mtb
Fast Actions Button (rgthree);rgthree/rgthree-comfy
Fast Bypasser (rgthree);rgthree/rgthree-comfy
Fast Groups Bypasser (rgthree);rgthree/rgthree-comfy
Fast Groups Muter (rgthree);rgthree/rgthree-comfy
Fast Muter (rgthree);rgthree/rgthree-comfy
GetNode;kijai/ComfyUI-KJNodes
Label (rgthree);rgthree/rgthree-comfy
Mute / Bypass Relay (rgthree);rgthree/rgthree-comfy
Mute / Bypass Repeater (rgthree);rgthree/rgthree-comfy
Node Collector (rgthree);rgthree/rgthree-comfy
Note Plus (mtb);melMass/comfy_mtb
Power Conductor (rgthree);rgthree/rgthree-comfy
PresetText|pysssss;pythongosssss/ComfyUI-Custom-Scripts
Random Unmuter (rgthree);rgthree/rgthree-comfy
Reroute (rgthree);rgthree/rgthree-comfy
SetNode;kijai/ComfyUI-KJNodes
Show Metadata [Crystools];crystian/ComfyUI-Crystools
easy bookmark;yolain/ComfyUI-Easy-Use
easy getNode;yolain/ComfyUI-Easy-Use
easy setNode;yolain/ComfyUI-Easy-Use
flow_Get_Value;cardenluo/ComfyUI-Apt_Preset
flow_Set_Value;cardenluo/ComfyUI-Apt_Preset
mxReroute;Smirnov75/ComfyUI-mxToolkit
"""

# Folders below models that packs make.
_FOLDERS = """\
BiRefNet
CogVideo/loras
LLM
LLM/checkpoints
LLavacheckpoints
TheMisto_model
animatediff_models
animatediff_motion_lora
aura-sr
blip
depthanything3
ella
ella_encoder
facerestore_models
fish_speech
gguf
hyper_lora/clip_processor
hyper_lora/clip_vit
hyper_lora/hyper_lora
hyperswap
hyvid_embeds
infinite_you
inpaint
insightface
insightface/models
instance_models/fuser_models
instance_models/positionnet_models
instance_models/scaleu_models
instantid
ipadapter
ipadapter-flux
isnet
lbw_models
luts
mmaudio
mmdets
nlf
onnx
prompt_expansion
pulid
reactor/faces
rembg
reswapper
sams
sonic
t5
tensorrt
tensorrt/depth-anything
transparent-background
ultralytics
wav2vec2
whisper
xlabs/controlnets
xlabs/ipadapters
xlabs/loras
"""

PACK_LOADERS: dict[str, dict[str, str | tuple[str, ...]]] = {
    name: {
        key: tuple(folder.split(",")) if "," in folder else folder
        for key, _, folder in (one.partition("=") for one in rest.split(";"))
    }
    for name, _, rest in (line.partition(";") for line in _LOADERS.replace("\n;", ";").splitlines())
}
PACK_WIDGETS: dict[str, tuple[str, ...]] = {
    name: tuple(rest.split(";"))
    for name, _, rest in (line.partition(";") for line in _WIDGETS.replace("\n;", ";").splitlines())
}
AUTO: dict[str, str] = {name: reason for name, _, reason in (line.partition(";") for line in _AUTO.splitlines())}
FRONTEND_ONLY: dict[str, str] = {name: pack for name, _, pack in (line.partition(";") for line in _FRONTEND_ONLY.splitlines())}
FOLDERS: frozenset[str] = frozenset(_FOLDERS.splitlines())
