using System.Text;

namespace MemSim.Tests.Recordings.Import;

internal static class ImportText
{
    public static Stream Of(params string[] lines) => new MemoryStream(Encoding.UTF8.GetBytes(string.Join('\n', lines) + "\n"));
}
