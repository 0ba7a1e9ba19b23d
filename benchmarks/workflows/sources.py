# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

"""What is evaluated: public packages and repositories, each at one version. A new source is a new row."""

from __future__ import annotations

from repositories import Repository

TEMPLATES = "comfyui-workflow-templates-json==0.1.123"

# Trees that say which classes are builtin and which folder each of their loaders searches; the second is a fork that
# follows the first closely.
CORE = (
    Repository("Comfy-Org/ComfyUI", "a125cd84b054a57729b5eecab930ca9408719832"),
    Repository("yzkee/ComfyUI", "783545f689a0af730065994b46b382ae24844c99"),
)

# Repositories that publish workflows beside the list of packs, or of weights, that they are deployed with.
RECIPES = (
    Repository("replicate/cog-comfyui", "66b54afc0499a2ad2c85de447ce6000ac927952e"),
    Repository("fofr/cog-consistent-character", "25254c13bf1c5873ba85b20f3a22701390893640"),
    Repository("fofr/cog-comfyui-supir", "e288f67fe49ac7f20d38a31fc293987ba2d05bcf"),
    Repository("fofr/cog-comfyui-kolors-with-ipadapter", "0da9ee9158a04c66f515dcc80c26d2a56c434c98"),
    Repository("fofr/cog-comfyui-liveportrait", "c3162af899fcc94a3c693f7798dd7cccf3a31e71"),
    Repository("fofr/cog-comfyui-tooncrafter", "95b6b727de9a4404a6384391b478e65b6a66a340"),
    Repository("fofr/cog-comfyui-xlabs-flux-controlnet", "797b5814594365012f9b9c1bc1627abd2e9e2b0e"),
    Repository("fofr/cog-flux-layers-explorer", "79ac7ad1b1d706d615b932a8a71d0bce07a6af2c"),
    Repository("jschoormans/cog-comfyui-interior", "da576599a176b9994c29562bc7c0711940027c38"),
    Repository("NSFW-API/cog-comfyui-hunyuan-video", "cf92b4e5fa46d6bc44c9e2ad0c2da10e475a66f8"),
    Repository("meowmurai/cog-comfyUI-sonic-lip-sync", "7b6eb3215f854e45ae09e7d0de047fde615776a4"),
    Repository("neoevolutions/cog-zimage-swap", "f9f1de923bba15cc99eee749833ceb117595e632"),
    Repository("stakeordie/emprops_shared", "b06006e6181a994076f70a8912b59dbdfec8e1c8"),
    Repository("runpod-workers/worker-comfyui", "d2a557235b3800d68dcc6fa3259125fdf4bed8a6"),
    Repository("SaladTechnologies/salad-recipes", "d3dee698c8ceb2657960b8c91d953422331fb2e0"),
)

# Workflows alone; the pack ids and model addresses that their files declare, and the prompts beside them, are the truth.
COLLECTIONS = (
    Repository("comfyanonymous/ComfyUI_examples", "f9431bb000ce792094ff345446e22cac1ea6cef3"),
    Repository("yameprogrammer/comfyui-workflows", "e11e701440702f7af3c157a85088f2d665779b37"),
    Repository("cseti007/ComfyUI-Workflows", "7fc0b859c06d125e2d187f5f74c1168fda4a14f0"),
)

# Packs: their source says which classes are theirs, and many ship workflows of their own.
PACKS = (
    Repository("1038lab/ComfyUI-RMBG", "58f1947a11567a9f8b707223185570850e773856"),
    Repository("Acly/comfyui-inpaint-nodes", "b32f293d3f3ed9f2bc11099b30c8695ff984a593"),
    Repository("ClownsharkBatwing/RES4LYF", "022c873c6d198c67b3312a1804336533a050df18"),
    Repository("Fannovel16/ComfyUI-Frame-Interpolation", "26545cc2dd95bc3d27f056016300673bdeee78f5"),
    Repository("Fannovel16/comfyui_controlnet_aux", "e8b689a513c3e6b63edc44066560ca5919c0576e"),
    Repository("Gourieff/ComfyUI-ReActor", "6ad6b35a4df250d14cb2abf0808c9ffedf59f747"),
    Repository("IamCreateAI/Ruyi-Models", "6c7b5972dc6e6b7128d6238bdbf6cc7fd56af2a4"),
    Repository("Jonseed/ComfyUI-Detail-Daemon", "3394e44afea04ed0188fb37b21f0d9952469766b"),
    Repository("Kosinkadink/ComfyUI-Advanced-ControlNet", "9e60d8a9c8016c5315063aa7af66b321a0444df7"),
    Repository("Kosinkadink/ComfyUI-AnimateDiff-Evolved", "d8d163cd90b1111f6227495e3467633676fbb346"),
    Repository("Kosinkadink/ComfyUI-VideoHelperSuite", "4ee72c065db22c9d96c2427954dc69e7b908444b"),
    Repository("Lightricks/ComfyUI-LTXVideo", "aceeae9635f6d493f2893ba3c411a1c36031788a"),
    Repository("MinusZoneAI/ComfyUI-Kolors-MZ", "43ec2701a1390259a17ef3bea6244a3134aa5153"),
    Repository("PowerHouseMan/ComfyUI-AdvancedLivePortrait", "3bba732915e22f18af0d221b9c5c282990181f1b"),
    Repository("PozzettiAndrea/ComfyUI-SAM3", "de0ff5d2c2ea435d29f800abfa568cffdfb94773"),
    Repository("SeargeDP/SeargeSDXL", "2eb5edbc712329d77d1a2f5f1e6c5e64397a4a83"),
    Repository("Suzie1/ComfyUI_Comfyroll_CustomNodes", "d78b780ae43fcf8c6b7c6505e6ffb4584281ceca"),
    Repository("TTPlanetPig/Comfyui_TTP_Toolset", "c8889e40e90e293226cc6810c7d27b9c17300da6"),
    Repository("XLabs-AI/x-flux-comfyui", "00328556efc9472410d903639dc9e68a8471f7ac"),
    Repository("asagi4/comfyui-prompt-control", "b24d93b778ef833422640b38857060952a71c101"),
    Repository("balazik/ComfyUI-PuLID-Flux", "a80912fc3435c358607bf4b43a58dbcbebdb09ff"),
    Repository("chflame163/ComfyUI_LayerStyle", "64f976fec8492ea4930c0e30c32369573189b23d"),
    Repository("chflame163/ComfyUI_LayerStyle_Advance", "7b678b401a38307a4a7e99ef6630bd48f9cecedb"),
    Repository("city96/ComfyUI-GGUF", "795e45156ece99afbc3efef911e63fcb46e6a20d"),
    Repository("comfyanonymous/ComfyUI_TensorRT", "5bcc3f1e5c2424bb20bcb586e340c25ebe4a954f"),
    Repository("cubiq/ComfyUI_FaceAnalysis", "8846653446a6b13582da11793faf950325a398e0"),
    Repository("cubiq/ComfyUI_IPAdapter_plus", "9d076a3df0d2763cef5510ec5ab807f6632c39f5"),
    Repository("cubiq/ComfyUI_InstantID", "1ef34ef573581bd9727c1e0ac05aa956b356a510"),
    Repository("cubiq/ComfyUI_essentials", "33ff89fd354d8ec3ab6affb605a79a931b445d99"),
    Repository("cubiq/PuLID_ComfyUI", "4e1fd4024cae77a0c53edb8ecc3c8ee04027ebef"),
    Repository("huanngzh/ComfyUI-MVAdapter", "9d6d8afeff135d81a31f16dde5291d8b40dbb0a4"),
    Repository("huchenlei/ComfyUI-IC-Light-Native", "9176645d3f7455ac65e1b0af0f4535bf26f4ce91"),
    Repository("huchenlei/ComfyUI-layerdiffuse", "fffa28a7b1c10fc10c012b59b83f3e0a729e00ba"),
    Repository("jags111/efficiency-nodes-comfyui", "4579b7d6076b2870998a08f5d37883fbc8261ff2"),
    Repository("kijai/ComfyUI-CogVideoXWrapper", "fdb8abd2790b5459ddc7066c31861bb0b62e988b"),
    Repository("kijai/ComfyUI-DynamiCrafterWrapper", "7670b09c282fc448e0456d67a4ada885dbe929ed"),
    Repository("kijai/ComfyUI-Florence2", "00b63382966a444a9fefacb65b8deb188d12a458"),
    Repository("kijai/ComfyUI-FramePackWrapper", "a7c4b704455aee0d016143f2fc232928cc0f1d83"),
    Repository("kijai/ComfyUI-HunyuanVideoWrapper", "3ce9640497139b14462910b0dbf2be1df855c1d6"),
    Repository("kijai/ComfyUI-IC-Light", "22811d903af8a90100dccef1c4b579526649a6ab"),
    Repository("kijai/ComfyUI-KJNodes", "3f20054214fec9f9234fd3841ae6f1e4287948f6"),
    Repository("kijai/ComfyUI-LivePortraitKJ", "4d9dc6205b793ffd0fb319816136d9b8c0dbfdff"),
    Repository("kijai/ComfyUI-LuminaWrapper", "1086e2894af742c7a70f573aababc749816e9e3e"),
    Repository("kijai/ComfyUI-MochiWrapper", "e1bd05240ac31b72166e9d952c75dd5735352311"),
    Repository("kijai/ComfyUI-PyramidFlowWrapper", "426e3653048575dd1d1d49763a1e02fcfccf5078"),
    Repository("kijai/ComfyUI-SUPIR", "0613a9239f49b062adba6c12072942e1724a7cbd"),
    Repository("kijai/ComfyUI-WanVideoWrapper", "721cd65e7b5224c70a3d20446d9d561f1732216b"),
    Repository("kijai/ComfyUI-segment-anything-2", "059815ecc55b17ae9b47d15ed9b39b243d73b25f"),
    Repository("lldacing/ComfyUI_PuLID_Flux_ll", "ba90657fe6ffa8072ac169a949bfa5e4153bf48a"),
    Repository("logtd/ComfyUI-Fluxtapoz", "17c71bea20e932945e9c1be0586cfd4b7e51cbf6"),
    Repository("logtd/ComfyUI-LTXTricks", "2eb2a81994646d4564dbc666e3e3865cbf3853cf"),
    Repository("ltdrdata/ComfyUI-Impact-Pack", "727295b52e5f7b5429e81ca2179172865aa83b99"),
    Repository("ltdrdata/ComfyUI-Impact-Subpack", "5b4e55058ae48e18e1c6d974000461ad1e240135"),
    Repository("ltdrdata/ComfyUI-Inspire-Pack", "1aef2c57e35078b6017697df9cf30ad595d93826"),
    Repository("melMass/comfy_mtb", "eabe43db79112d4e3674db343c5c184145e8396c"),
    Repository("nullquant/ComfyUI-BrushNet", "505d8ef917ddf3896afd1926770ecc9b099704e2"),
    Repository("numz/ComfyUI-SeedVR2_VideoUpscaler", "4490bd1f482e026674543386bb2a4d176da245b9"),
    Repository("nunchaku-tech/ComfyUI-nunchaku", "dbfd194294b727d9bec597a9a5df6d431c5d3a6f"),
    Repository("pollockjj/ComfyUI-MultiGPU", "a38cbda5fb64232bfa67867d55ae473d2c44d54e"),
    Repository("receyuki/comfyui-prompt-reader-node", "a88722ce8fe081be83d7fddb2ebe88f616b14662"),
    Repository("rgthree/rgthree-comfy", "13b4399c00b5ef5a97b1b6800fc1185874740f5d"),
    Repository("ryanontheinside/ComfyUI_RyanOnTheInside", "dbbeca041c2a24fe0aff3ef1959201c5af0cafce"),
    Repository("shadowcz007/comfyui-mixlab-nodes", "b2bb1876def6330fccf1e03cc69d2166cae7bedb"),
    Repository("shiimizu/ComfyUI-PhotoMaker-Plus", "459f5c009e8bc3fe76bd63a7f302ddf3406c7062"),
    Repository("sipie800/ComfyUI-PuLID-Flux-Enhanced", "04e1b52320f1f14383afe18959349703623c5b88"),
    Repository("smthemex/ComfyUI_EchoMimic", "3a36b00f405e0578db1f2c048b3ad0e41ff091bd"),
    Repository("stakeordie/emprops_comfy_nodes", "0b3dc3ccf00a788a70eee4208377b8d75db066af"),
    Repository("toyxyz/ComfyUI_toyxyz_test_nodes", "6338918cf74b2c806bdd0ea4e0856a656c3df420"),
    Repository("visualbruno/ComfyUI-Trellis2", "ded89500f3ab9130907d9a688d485f0ee677e5e2"),
    Repository("welltop-cn/ComfyUI-TeaCache", "91dff8e31684ca70a5fda309611484402d8fa192"),
    Repository("willmiao/ComfyUI-Lora-Manager", "25e72b43cef18c64d6dd235da307e2e51d1c09d2"),
    Repository("yolain/ComfyUI-Easy-Use", "4de1ab3b66e48da916b6f263bacd001df53a2720"),
)
