# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)

# The release whose interface is spoken here; what follows the plus says that this is not it.
__version__ = "0.3.12+standin"
