using System.Text;

namespace MemSim.Tool;

/// <summary>Standard error: where it cannot be written (a full disk, nobody there), what it would have said is lost, and the verb goes on.</summary>
/// <param name="to">Standard error.</param>
internal sealed class ComplaintWriter(TextWriter to) : TextWriter
{
    public override Encoding Encoding => to.Encoding;

    public override void Write(char value) => Try(() => to.Write(value));

    public override void Write(string? value) => Try(() => to.Write(value));

    public override void Write(char[] buffer, int index, int count) => Try(() => to.Write(buffer, index, count));

    public override void Flush() => Try(to.Flush);

    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // There is nobody left to tell.
        }
    }
}
