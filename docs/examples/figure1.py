"""Figure 1 of the paper, as it runs: evasion, adversarial training and model extraction by hand, on census.

Run it with `python docs/examples/figure1.py`. What comes before line 1 of the figure is assumed there.
"""

import torch
from torch.utils.data import DataLoader

from amulet.datasets import stratified_split
from amulet.utils import initialize_model, load_data, train_classifier

device, epochs = torch.device("cpu"), 20
data = load_data("census", limit=4000)
mine, theirs = stratified_split(data.train.y, [2000, 2000], torch.Generator().manual_seed(0))
train_loader = DataLoader(data.train.take(mine), batch_size=256, shuffle=True)
adversary_training_data = DataLoader(data.train.take(theirs), batch_size=256)
test_loader = DataLoader(data.test, batch_size=256)

model = initialize_model("LinearNet", data)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
train_classifier(model, train_loader, optimizer, device, epochs)
target_model = model

# --- the figure ---------------------------------------------------------------------------------------------
from amulet.evasion.attacks import EvasionPGD  # noqa: E402
from amulet.utils import get_accuracy  # noqa: E402

# Instantiate EvasionPGD to run evasion
evasion = EvasionPGD(model, test_loader, device, batch_size=256, epsilon=0.01)

# Run evasion to get adversarial samples
adversarial_test_loader = evasion.attack()

# Adversarial accuracy
adv_accuracy = get_accuracy(model, adversarial_test_loader, device)

# To run Adversarial Training
from amulet.evasion.defenses import AdversarialTrainingPGD  # noqa: E402

loss_function = torch.nn.CrossEntropyLoss()
defended_model = initialize_model("LinearNet", data)  # the figure goes on from `model`'s weights; these are fresh
optimizer = torch.optim.Adam(defended_model.parameters(), lr=1e-3)
adv_training = AdversarialTrainingPGD(
    defended_model,
    loss_function,
    optimizer,
    train_loader,
    device,
    epochs,
    epsilon=0.01,
)
defended_model = adv_training.train_robust()

# The figure's line 24 judges the defended model on examples made against the undefended one: that is transfer.
# Its robustness is judged on examples made against itself.
transfer_accuracy = get_accuracy(defended_model, adversarial_test_loader, device)
own_adversarial_test_loader = EvasionPGD(defended_model, test_loader, device, epsilon=0.01).attack()
adv_accuracy_defended = get_accuracy(defended_model, own_adversarial_test_loader, device)

# To run Model Extraction
from amulet.unauth_model_ownership.attacks import ModelExtraction  # noqa: E402
from amulet.unauth_model_ownership.metrics import evaluate_extraction  # noqa: E402

attack_model = initialize_model("LinearNet", data, seed=1)
optimizer = torch.optim.Adam(attack_model.parameters(), lr=1e-3)
criterion = torch.nn.MSELoss()
model_extraction = ModelExtraction(
    target_model,
    attack_model,
    optimizer,
    criterion,
    adversary_training_data,
    device,
    epochs,
)
attack_model = model_extraction.attack()
evaluation_results = evaluate_extraction(target_model, attack_model, test_loader, device)
# --- end of the figure ----------------------------------------------------------------------------------------

print(f"accuracy of the undefended model   {get_accuracy(model, test_loader, device):.3f}")
print(f"  under PGD, eps 0.01              {adv_accuracy:.3f}")
print(f"accuracy of the defended model     {get_accuracy(defended_model, test_loader, device):.3f}")
print(f"  under PGD against itself         {adv_accuracy_defended:.3f}")
print(f"  on the other model's examples    {transfer_accuracy:.3f}")
print("stolen model:", {name: round(value, 3) for name, value in evaluation_results.items()})
