namespace MemSim.Testing;

/// <summary>A machine is not as a test expected it.</summary>
public sealed class MachineAssertionException : Exception, IAssertionException
{
    /// <summary>Creates the exception.</summary>
    public MachineAssertionException()
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is not as expected.</param>
    public MachineAssertionException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is not as expected.</param>
    /// <param name="innerException">What led to it.</param>
    public MachineAssertionException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
